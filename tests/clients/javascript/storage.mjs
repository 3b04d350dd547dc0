// Objects by the AWS SDK for JavaScript, unmodified: streams, uploads in parts, checksums, pages, links. Fails by throwing.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  waitUntilBucketExists,
  waitUntilObjectNotExists,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const MIB = 1024 * 1024;
const s3 = new S3Client({ forcePathStyle: true });
const Bucket = `javascript-${randomBytes(6).toString("hex")}`;
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
const read = async (Key, more) => {
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from(await Body.transformToByteArray());
};

await s3.send(new CreateBucketCommand({ Bucket }));
await waitUntilBucketExists({ client: s3, maxWaitTime: 20, minDelay: 1 }, { Bucket });
try {
  // A stream goes out in chunks with its checksum behind it; what is stored is the bytes alone.
  const Key = "ä/ü +&=%41?#.bin";
  const small = randomBytes(300_001);
  const Metadata = { mine: "yes" };
  const stream = { Bucket, Key, Body: Readable.from([small.subarray(0, 70_000), small.subarray(70_000)]), Metadata };
  const put = await s3.send(new PutObjectCommand({ ...stream, ContentLength: small.length, ContentType: "text/x" }));
  assert.ok(put.ChecksumCRC32, "the SDK sends a checksum with everything");
  assert.equal(hash(await read(Key)), hash(small));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
  assert.deepEqual(
    [head.ContentLength, head.ContentType, head.Metadata, head.ContentEncoding, head.ChecksumCRC32],
    [small.length, "text/x", Metadata, undefined, put.ChecksumCRC32],
  );
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
    const Body = small.subarray(0, 1000);
    const told = await s3.send(new PutObjectCommand({ Bucket, Key: "sum", Body, ChecksumAlgorithm }));
    const back = await s3.send(new HeadObjectCommand({ Bucket, Key: "sum", ChecksumMode: "ENABLED" }));
    assert.ok(told[`Checksum${ChecksumAlgorithm}`], ChecksumAlgorithm);
    assert.equal(back[`Checksum${ChecksumAlgorithm}`], told[`Checksum${ChecksumAlgorithm}`]);
  }
  assert.deepEqual(await read(Key, { Range: "bytes=100-199" }), small.subarray(100, 200));

  // A stream of unknown length goes in parts.
  const large = randomBytes(12 * MIB + 3);
  const Body = new PassThrough();
  const upload = new Upload({ client: s3, params: { Bucket, Key: "large", Body }, partSize: 5 * MIB, queueSize: 3 });
  let loaded = 0;
  upload.on("httpUploadProgress", (progress) => (loaded = Math.max(loaded, progress.loaded)));
  Readable.from(large).pipe(Body);
  const done = await upload.done();
  assert.match(done.ETag, /-3"$/);
  assert.equal(loaded, large.length);
  assert.equal(hash(await read("large")), hash(large));
  // One that is given up leaves nothing.
  const aborted = new Upload({ client: s3, params: { Bucket, Key: "aborted", Body: new PassThrough() }, partSize: 5 * MIB });
  const failing = assert.rejects(aborted.done(), { name: "AbortError" });
  await aborted.abort();
  await failing;
  assert.equal((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads, undefined);

  const CopySource = encodeURIComponent(`${Bucket}/${Key}`);
  await s3.send(new CopyObjectCommand({ Bucket, Key: "copy", CopySource }));
  assert.equal(hash(await read("copy")), hash(small));

  // Links, to read and to write.
  const link = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  assert.equal(hash(Buffer.from(await (await fetch(link)).arrayBuffer())), hash(small));
  const browser = { method: "PUT", body: "by a browser" };
  const writing = new PutObjectCommand({ Bucket, Key: "linked" });
  // By default the SDK signs the checksum of the body that it has then, which is none.
  const refused = await fetch(await getSignedUrl(s3, writing, { expiresIn: 60 }), browser);
  assert.deepEqual([refused.status, /<Code>(.*)<.Code>/.exec(await refused.text())[1]], [400, "BadDigest"]);
  const signer = new S3Client({ forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED" });
  assert.equal((await fetch(await getSignedUrl(signer, writing, { expiresIn: 60 }), browser)).status, 200);
  assert.equal((await read("linked")).toString(), "by a browser");
  assert.equal((await fetch(link.replace("X-Amz-Expires=60", "X-Amz-Expires=61"))).status, 403);

  await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: "absent" })), { name: "NoSuchKey" });
  await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: "absent" })), { name: "NotFound" });
  await assert.rejects(s3.send(new PutObjectCommand({ Bucket, Key, Body: "x", IfNoneMatch: "*" })), {
    name: "PreconditionFailed",
  });
} finally {
  const keys = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket })) {
    keys.push(...(page.Contents ?? []).map(({ Key }) => Key));
  }
  const { Deleted } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
  assert.deepEqual(Deleted.map(({ Key }) => Key).sort(), [...keys].sort());
  await waitUntilObjectNotExists({ client: s3, maxWaitTime: 20, minDelay: 1 }, { Bucket, Key: "large" });
  await s3.send(new DeleteBucketCommand({ Bucket }));
}
