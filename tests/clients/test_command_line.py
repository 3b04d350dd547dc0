"""The `mallee` command around a cloud's life."""

import os
import signal
import subprocess

from support import BINARY, free_port


def test_status_waits_for_a_cloud_that_has_yet_to_be_made(tmp_path):
    state = tmp_path / "state"
    command = [BINARY, "--state", state, "status", "--wait", "--timeout", "60"]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    cloud = subprocess.Popen(
        [BINARY, "--state", state, "up", "--simulate", "1", "--listen", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        output, _ = waiting.communicate(timeout=60)
        assert waiting.returncode == 0, output
        assert "ready" in output
    finally:
        waiting.kill()
        cloud.send_signal(signal.SIGINT)
        assert cloud.wait(timeout=20) == 0


def test_a_state_directory_that_is_named_beats_the_environment(cloud):
    elsewhere = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
        "AWS_ACCESS_KEY_ID": "AKIAAAAAAAAAAAAAAAAA",
        "AWS_SECRET_ACCESS_KEY": "of another cloud",
    }
    command = [BINARY, "--state", cloud.state, "status"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, **elsewhere})
    assert result.returncode == 0, result.stderr
    assert cloud.endpoint.removeprefix("http://") in result.stdout


def test_without_a_cloud_it_says_what_to_do(tmp_path):
    command = [BINARY, "--state", tmp_path / "none", "status"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "start one with `mallee up`" in result.stderr and result.stderr.count("\n") == 1
