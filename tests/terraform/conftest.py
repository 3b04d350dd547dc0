"""Terraform's AWS provider, unmodified, against a simulated cloud."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))

from support import Cloud, run  # noqa: E402

CONFIGURATION = Path(__file__).with_name("main.tf")
# Where a machine without the registry keeps its providers (`terraform providers mirror DIR`).
MIRROR = Path(os.environ.get("MALLEE_TERRAFORM_MIRROR", "/opt/tf-plugins"))
SECONDS_MAX = 600


class Terraform:
    """A working directory with the configuration."""

    def __init__(self, directory, environment, variables):
        self.directory = directory
        shutil.copy(CONFIGURATION, directory)
        self.environment = {**os.environ, **environment, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
        self.environment.pop("TF_CLI_CONFIG_FILE", None)
        if MIRROR.is_dir():
            settings = directory / "terraformrc"
            settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{MIRROR}"\n  }}\n}}\n')
            self.environment["TF_CLI_CONFIG_FILE"] = str(settings)
        self.variables = variables
        self("init")

    def __call__(self, command, *arguments, check=True):
        options = ["-no-color", "-input=false"] if command != "output" else ["-no-color"]
        return run(
            *("terraform", command, *options, *arguments),
            check=check, cwd=self.directory, env=self.environment, timeout=SECONDS_MAX,
        )  # fmt: skip

    def values(self, changed):
        given = {**self.variables, "changed": str(changed).lower()}
        return [f"-var={name}={value}" for name, value in given.items()]

    def apply(self, changed=False):
        self("apply", "-auto-approve", *self.values(changed))

    def changes(self, changed=False):
        """What another apply would do; empty: nothing."""
        plan = self("plan", "-detailed-exitcode", *self.values(changed), check=False)
        assert plan.returncode in (0, 2), plan.stdout + plan.stderr
        return plan.stdout if plan.returncode == 2 else ""

    def outputs(self):
        return {name: output["value"] for name, output in json.loads(self("output", "-json").stdout).items()}


@pytest.fixture(scope="session")
def cloud():
    cloud = Cloud("--simulate", "3")
    yield cloud
    cloud.stop()
    cloud.directory.cleanup()


@pytest.fixture
def terraform(cloud, tmp_path):
    key = tmp_path / "key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "terraform", "-f", key)
    return Terraform(tmp_path, cloud.environment, {"public_key": key.with_suffix(".pub").read_text().strip()})
