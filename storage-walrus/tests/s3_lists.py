"""Who may use what is whose by access control lists, with boto3 against a Walrus: s3_lists.py ENDPOINT SCRATCH_DIRECTORY"""

from s3_world import (
    ALL_USERS, AUTHENTICATED, CANONICAL, LOG_DELIVERY, NOBODY, OPEN, OTHER, S3, body, bucket, policy, refused, run,
    statement,
)


def grants(acl):
    def grantee(who):
        return who.get("ID") or who.get("URI")

    return sorted((g["Permission"], grantee(g["Grantee"])) for g in acl["Grants"])


def test_lists_do_not_count_where_the_owner_is_enforced():
    name = bucket(access=OPEN)
    S3.put_object(Bucket=name, Key="k", Body=b"x", ACL="bucket-owner-full-control")
    assert grants(S3.get_bucket_acl(Bucket=name)) == grants(S3.get_object_acl(Bucket=name, Key="k"))
    unsupported = lambda call, **options: refused("AccessControlListNotSupported", 400, call, Bucket=name, **options)
    for canned in "private", "public-read", "authenticated-read":
        unsupported(S3.put_bucket_acl, ACL=canned)
    unsupported(S3.put_object_acl, Key="k", ACL="public-read")
    S3.put_object_acl(Bucket=name, Key="k", ACL="private")
    unsupported(S3.put_object, Key="k", Body=b"", ACL="authenticated-read")
    unsupported(S3.put_object, Key="k", Body=b"", GrantRead=f"id={CANONICAL[1]}")
    unsupported(S3.create_multipart_upload, Key="k", ACL="public-read")
    unsupported(S3.copy_object, Key="l", CopySource={"Bucket": name, "Key": "k"}, ACL="public-read")
    # A client that writes `private` with all it uploads says what holds anyway.
    S3.put_object(Bucket=name, Key="k", Body=b"x", ACL="private")
    refused("InvalidBucketAclWithObjectOwnership", 400, S3.create_bucket, Bucket=f"{name}-2", ACL="public-read")
    refused("InvalidBucketAclWithBlockPublicAccessError", 400, S3.create_bucket, Bucket=f"{name}-2", ACL="public-read",
            ObjectOwnership="ObjectWriter")
    refused("InvalidArgument", 400, S3.create_bucket, Bucket=f"{name}-2", ObjectOwnership="Nobody")
    # Lists that are there count no more when the owner is enforced, and again when it is not.
    S3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]})
    S3.put_object_acl(Bucket=name, Key="k", ACL="public-read")
    assert body(NOBODY, name) == b"x"
    S3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]})
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="k")
    S3.delete_bucket_ownership_controls(Bucket=name)
    assert body(NOBODY, name) == b"x"


def test_lists_of_objects():
    name = bucket("ObjectWriter", OPEN)
    OTHER.list_buckets()
    full = ("FULL_CONTROL", CANONICAL[0])
    for canned, more, nobody, other in [
        ("private", [], False, False),
        ("public-read", [("READ", ALL_USERS)], True, True),
        ("public-read-write", [("READ", ALL_USERS), ("WRITE", ALL_USERS)], True, True),
        ("authenticated-read", [("READ", AUTHENTICATED)], False, True),
        ("bucket-owner-read", [], False, False),
        ("bucket-owner-full-control", [], False, False),
        ("aws-exec-read", None, False, False),
    ]:
        S3.put_object(Bucket=name, Key="k", Body=canned.encode(), ACL=canned)
        acl = S3.get_object_acl(Bucket=name, Key="k")
        assert acl["Owner"]["ID"] == CANONICAL[0]
        if more is not None:
            assert grants(acl) == sorted([full, *more]), (canned, acl)
        for who, may in ((NOBODY, nobody), (OTHER, other)):
            if may:
                assert body(who, name) == canned.encode()
            else:
                refused("AccessDenied", 403, who.get_object, Bucket=name, Key="k")
            refused("AccessDenied", 403, who.get_object_acl, Bucket=name, Key="k")
            refused("AccessDenied", 403, who.put_object, Bucket=name, Key="k", Body=b"")
    S3.put_object(Bucket=name, Key="k", Body=b"granted", GrantRead=f'id="{CANONICAL[1]}"', GrantReadACP=f"id={CANONICAL[1]}")
    # Who gives all away has no control left in the list, but remains the owner.
    assert grants(OTHER.get_object_acl(Bucket=name, Key="k")) == [("READ", CANONICAL[1]), ("READ_ACP", CANONICAL[1])]
    assert body(OTHER, name) == body(S3, name) == b"granted"
    refused("AccessDenied", 403, OTHER.put_object_acl, Bucket=name, Key="k", ACL="public-read")
    S3.put_object_acl(Bucket=name, Key="k", GrantFullControl=f"id={CANONICAL[1]}")
    OTHER.put_object_acl(Bucket=name, Key="k", ACL="public-read")
    assert body(NOBODY, name) == b"granted"
    acl = S3.get_object_acl(Bucket=name, Key="k")
    S3.put_object_acl(Bucket=name, Key="k", AccessControlPolicy={"Owner": acl["Owner"], "Grants": acl["Grants"][:1]})
    assert grants(S3.get_object_acl(Bucket=name, Key="k")) == [full]
    # A new version of the object is not what its older one was; each has its own list.
    S3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    old = S3.put_object(Bucket=name, Key="v", Body=b"old", ACL="public-read")["VersionId"]
    S3.put_object(Bucket=name, Key="v", Body=b"new")
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="v")
    assert body(NOBODY, name, "v", VersionId=old) == b"old"
    S3.put_object_acl(Bucket=name, Key="v", VersionId=old, ACL="private")
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="v", VersionId=old)
    upload = S3.create_multipart_upload(Bucket=name, Key="m", ACL="public-read")["UploadId"]
    part = S3.upload_part(Bucket=name, Key="m", UploadId=upload, PartNumber=1, Body=b"parts")
    S3.complete_multipart_upload(Bucket=name, Key="m", UploadId=upload,
                                 MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert body(NOBODY, name, "m") == b"parts"


def test_lists_of_buckets():
    name = bucket("ObjectWriter", OPEN)
    S3.put_object(Bucket=name, Key="k", Body=b"x")
    S3.put_bucket_acl(Bucket=name, ACL="public-read")
    assert grants(S3.get_bucket_acl(Bucket=name)) == [("FULL_CONTROL", CANONICAL[0]), ("READ", ALL_USERS)]
    for who in (OTHER, NOBODY):
        assert [o["Key"] for o in who.list_objects_v2(Bucket=name)["Contents"]] == ["k"]
        refused("AccessDenied", 403, who.get_object, Bucket=name, Key="k")
        refused("NoSuchKey", 404, who.get_object, Bucket=name, Key="absent")
        refused("AccessDenied", 403, who.put_object, Bucket=name, Key="x", Body=b"")
    S3.put_bucket_acl(Bucket=name, ACL="public-read-write")
    OTHER.put_object(Bucket=name, Key="theirs", Body=b"theirs")
    NOBODY.put_object(Bucket=name, Key="nobodys", Body=b"nobody's")
    # What others wrote is theirs: its owner reads it, the bucket's may only delete it.
    assert body(OTHER, name, "theirs") == b"theirs"
    refused("AccessDenied", 403, S3.get_object, Bucket=name, Key="theirs")
    refused("AccessDenied", 403, S3.get_object, Bucket=name, Key="nobodys")
    owners = {o["Key"]: o["Owner"]["ID"] for o in S3.list_objects_v2(Bucket=name, FetchOwner=True)["Contents"]}
    assert (owners["k"], owners["theirs"]) == tuple(CANONICAL) and owners["nobodys"] not in CANONICAL, owners
    OTHER.put_object(Bucket=name, Key="theirs", Body=b"given", ACL="bucket-owner-read")
    assert body(S3, name, "theirs") == b"given"
    policy(name, statement(name, "s3:GetObject"))
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="theirs")
    assert body(NOBODY, name) == b"x"
    S3.delete_object(Bucket=name, Key="theirs")
    S3.delete_object(Bucket=name, Key="nobodys")
    S3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    OTHER.put_object(Bucket=name, Key="given", Body=b"", ACL="bucket-owner-full-control")
    OTHER.put_object(Bucket=name, Key="kept", Body=b"")
    assert S3.get_object_acl(Bucket=name, Key="given")["Owner"]["ID"] == CANONICAL[0]
    assert OTHER.get_object_acl(Bucket=name, Key="kept")["Owner"]["ID"] == CANONICAL[1]
    S3.delete_bucket_policy(Bucket=name)
    S3.put_bucket_acl(Bucket=name, ACL="log-delivery-write")
    granted = [("FULL_CONTROL", CANONICAL[0]), ("READ_ACP", LOG_DELIVERY), ("WRITE", LOG_DELIVERY)]
    assert grants(S3.get_bucket_acl(Bucket=name)) == granted
    refused("AccessDenied", 403, NOBODY.put_object, Bucket=name, Key="x", Body=b"")
    S3.put_bucket_acl(Bucket=name, GrantWriteACP=f"id={CANONICAL[1]}")
    OTHER.put_bucket_acl(Bucket=name, ACL="private")
    refused("AccessDenied", 403, OTHER.put_bucket_acl, Bucket=name, ACL="private")


def test_whoever_began_an_upload_may_end_it():
    name = bucket("ObjectWriter", OPEN)
    S3.put_bucket_acl(Bucket=name, ACL="public-read-write")
    begin = lambda who: who.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    theirs, ours, nobodys = begin(OTHER), begin(S3), begin(NOBODY)
    OTHER.upload_part(Bucket=name, Key="k", UploadId=theirs, PartNumber=1, Body=b"x")
    assert len(OTHER.list_parts(Bucket=name, Key="k", UploadId=theirs)["Parts"]) == 1
    # Of another's, of nobody's and of one that is none, neither.
    for who, upload in (OTHER, ours), (OTHER, nobodys), (OTHER, "none"), (NOBODY, theirs), (NOBODY, nobodys):
        refused("AccessDenied", 403, who.list_parts, Bucket=name, Key="k", UploadId=upload)
        refused("AccessDenied", 403, who.abort_multipart_upload, Bucket=name, Key="k", UploadId=upload)
    refused("AccessDenied", 403, OTHER.abort_multipart_upload, Bucket=name, Key="l", UploadId=theirs)
    # The bucket's owner may forbid it, and may end whatever it is.
    policy(name, statement(name, "s3:AbortMultipartUpload", effect="Deny"))
    refused("AccessDenied", 403, OTHER.abort_multipart_upload, Bucket=name, Key="k", UploadId=theirs)
    S3.delete_bucket_policy(Bucket=name)
    OTHER.abort_multipart_upload(Bucket=name, Key="k", UploadId=theirs)
    refused("AccessDenied", 403, OTHER.abort_multipart_upload, Bucket=name, Key="k", UploadId=theirs)
    for upload in ours, nobodys:
        S3.abort_multipart_upload(Bucket=name, Key="k", UploadId=upload)
    assert "Uploads" not in S3.list_multipart_uploads(Bucket=name)


def test_public_lists_are_blocked():
    name = bucket("ObjectWriter")
    refused("AccessDenied", 403, S3.put_bucket_acl, Bucket=name, ACL="public-read")
    refused("AccessDenied", 403, S3.put_object, Bucket=name, Key="k", Body=b"", ACL="authenticated-read")
    refused("AccessDenied", 403, S3.put_object, Bucket=name, Key="k", Body=b"", GrantRead=f"uri={ALL_USERS}")
    S3.put_object(Bucket=name, Key="k", Body=b"x", ACL="aws-exec-read")
    S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=OPEN)
    S3.put_bucket_acl(Bucket=name, ACL="public-read")
    S3.put_object_acl(Bucket=name, Key="k", ACL="public-read")
    assert body(NOBODY, name) == b"x"
    S3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={**OPEN, "IgnorePublicAcls": True})
    refused("AccessDenied", 403, NOBODY.get_object, Bucket=name, Key="k")
    refused("AccessDenied", 403, NOBODY.list_objects_v2, Bucket=name)
    assert body(S3, name) == b"x"


def test_lists_that_cannot_be():
    name = bucket("ObjectWriter", OPEN)
    bad = lambda code, **options: refused(code, 400, S3.put_bucket_acl, Bucket=name, **options)
    bad("InvalidArgument", GrantRead="id=1234")
    bad("InvalidArgument", GrantRead="uri=http://acs.amazonaws.com/groups/global/Nobody")
    bad("UnresolvableGrantByEmailAddress", GrantRead="emailAddress=nobody@example.com")
    bad("InvalidArgument", ACL="public")
    bad("InvalidRequest", ACL="private", GrantRead=f"id={CANONICAL[0]}")
    stranger = {"Owner": {"ID": CANONICAL[1]}, "Grants": []}
    refused("AccessDenied", 403, S3.put_bucket_acl, Bucket=name, AccessControlPolicy=stranger)


run(globals())
