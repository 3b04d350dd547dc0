# Everything of this cloud that Terraform's AWS provider can make, once as it is first wanted and once changed.

variable "changed" {
  type    = bool
  default = false
}

variable "public_key" {
  type = string
}

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

# The rest comes from the environment: `eval "$(mallee env)"`.
provider "aws" {
  s3_use_path_style      = true
  skip_region_validation = true
}

# --- what is there ---------------------------------------------------------------------------------------------

data "aws_availability_zones" "here" {}
data "aws_caller_identity" "me" {}
data "aws_vpc" "default" {
  default = true
}
data "aws_subnets" "default" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default.id]
  }
}
data "aws_ami" "tiny" {
  most_recent = true
  owners      = ["self"]
  filter {
    name   = "state"
    values = ["available"]
  }
}
data "aws_ec2_instance_type" "nano" {
  instance_type = "t3.nano"
}

# --- keys and security groups ----------------------------------------------------------------------------------

resource "aws_key_pair" "main" {
  key_name   = "main"
  public_key = var.public_key
  tags       = { by = "terraform" }
}

resource "aws_security_group" "web" {
  name        = "web"
  description = "web servers"
  vpc_id      = data.aws_vpc.default.id
  ingress {
    from_port   = 22
    to_port     = 22
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
    description = var.changed ? "ssh for all" : "ssh"
  }
  ingress {
    from_port = 0
    to_port   = 0
    protocol  = "-1"
    self      = true
  }
  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
  tags = { Name = "web" }
}

resource "aws_security_group" "rules" {
  name_prefix = "rules-"
}
resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.rules.id
  cidr_ipv4         = "10.0.0.0/8"
  from_port         = var.changed ? 8443 : 443
  to_port           = var.changed ? 8443 : 443
  ip_protocol       = "tcp"
  tags              = { Name = "https" }
}
resource "aws_vpc_security_group_egress_rule" "web" {
  security_group_id            = aws_security_group.rules.id
  referenced_security_group_id = aws_security_group.web.id
  ip_protocol                  = "-1"
}

# --- identity --------------------------------------------------------------------------------------------------

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}
data "aws_iam_policy_document" "read" {
  statement {
    actions   = var.changed ? ["s3:GetObject", "s3:ListBucket"] : ["s3:GetObject"]
    resources = ["arn:aws:s3:::images/*"]
  }
}
resource "aws_iam_role" "app" {
  name                 = "app"
  description          = var.changed ? "of the application" : null
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.changed ? 3600 : 7200
  tags                 = { team = "a" }
}
resource "aws_iam_role_policy" "inline" {
  role = aws_iam_role.app.id
  name = "inline"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["ec2:Describe*"], Resource = "*" }]
  })
}
resource "aws_iam_policy" "read" {
  name   = "read"
  policy = data.aws_iam_policy_document.read.json
}
resource "aws_iam_role_policy_attachment" "read" {
  role       = aws_iam_role.app.name
  policy_arn = aws_iam_policy.read.arn
}
resource "aws_iam_instance_profile" "app" {
  name = "app"
  role = aws_iam_role.app.name
}
resource "aws_iam_user" "deployer" {
  name = "deployer"
  path = var.changed ? "/robots/" : "/ci/"
  tags = { a = "b" }
}
resource "aws_iam_group" "ci" {
  name = "ci"
}
resource "aws_iam_user_group_membership" "ci" {
  user   = aws_iam_user.deployer.name
  groups = [aws_iam_group.ci.name]
}
resource "aws_iam_access_key" "deployer" {
  user = aws_iam_user.deployer.name
}
resource "aws_iam_account_password_policy" "strict" {
  minimum_password_length = var.changed ? 14 : 12
  require_numbers         = true
}

# --- instances -------------------------------------------------------------------------------------------------

resource "aws_placement_group" "spread" {
  name     = "spread"
  strategy = "spread"
}

resource "aws_launch_template" "app" {
  name                   = "app"
  image_id               = data.aws_ami.tiny.id
  instance_type          = var.changed ? "t3.micro" : "t3.nano"
  key_name               = aws_key_pair.main.key_name
  vpc_security_group_ids = [aws_security_group.web.id]
  iam_instance_profile {
    name = aws_iam_instance_profile.app.name
  }
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "templated" }
  }
}

resource "aws_instance" "plain" {
  ami                                  = data.aws_ami.tiny.id
  instance_type                        = var.changed ? "t3.micro" : "t3.nano"
  key_name                             = aws_key_pair.main.key_name
  vpc_security_group_ids               = var.changed ? [aws_security_group.web.id, aws_security_group.rules.id] : [aws_security_group.web.id]
  subnet_id                            = data.aws_subnets.default.ids[0]
  iam_instance_profile                 = aws_iam_instance_profile.app.name
  placement_group                      = aws_placement_group.spread.id
  user_data                            = var.changed ? "#!/bin/sh\necho bye\n" : "#!/bin/sh\necho hello\n"
  monitoring                           = !var.changed
  instance_initiated_shutdown_behavior = var.changed ? "terminate" : "stop"
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = var.changed ? "optional" : "required"
  }
  credit_specification {
    cpu_credits = var.changed ? "unlimited" : "standard"
  }
  tags = var.changed ? { Name = "plain", more = "yes" } : { Name = "plain" }
}

resource "aws_instance" "templated" {
  launch_template {
    id      = aws_launch_template.app.id
    version = "$Latest"
  }
  tags = { Name = "templated" }
}

# --- buckets ---------------------------------------------------------------------------------------------------

resource "aws_s3_bucket" "data" {
  bucket = "terraform-data"
}

output "address" {
  value = aws_instance.plain.public_ip
}
output "account" {
  value = data.aws_caller_identity.me.account_id
}
output "memory_mib" {
  value = data.aws_ec2_instance_type.nano.memory_size
}
