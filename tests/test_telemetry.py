"""Nothing of lusfx reports to anybody: no name is asked for, no connection made, no file left by a library that would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lusfx import telemetry
from lusfx.synth import write_archive

REPOSITORY = Path(__file__).parents[1]
LIBRARIES = ("onnxruntime", "openvino", "huggingface_hub")
WATCHED_S = 65
"""ONNX Runtime's sender waits for some seconds, and tries again for a minute."""
ENCODE = """
import numpy as np
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER
from lusfx.encoders.directory import DirectoryEncoder
for runtime in RUNTIMES:
    DirectoryEncoder(BUNDLED / DEFAULT_ENCODER, "cpu", 1, "float32", runtime).encode(np.zeros((1, 96, 96), np.uint8))
"""
WATCH = """
import json, socket, subprocess, sys, threading
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
heard = []
def listen(kind, port):
    server = socket.socket(socket.AF_INET, kind)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM:
        server.listen()
    def wait():
        while True:
            if kind == socket.SOCK_STREAM:
                client, _ = server.accept()
                heard.append(f"connection to port {port}")
                client.close()
                continue
            query, client = server.recvfrom(2048)
            end = query.index(0, 12) + 5
            heard.append("name " + ascii(query[12:end - 5]))
            is_a = query[end - 3] == 1  # every name is this machine, so that whoever asks goes on to connect
            answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4\\x7f\\0\\0\\1" if is_a else b""
            server.sendto(query[:2] + b"\\x81\\x80\\0\\1\\0" + bytes([is_a]) + b"\\0\\0\\0\\0" + query[12:end] + answer, client)
    threading.Thread(target=wait, daemon=True).start()
listen(socket.SOCK_DGRAM, 53)
for port in (53, 80, 443):
    listen(socket.SOCK_STREAM, port)
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(json.dumps({"heard": heard, "code": done.returncode, "err": done.stderr[-2000:]}))
"""
"""Runs a command in a network of its own, whose name server knows every name and says what it was asked."""


def installed() -> list[str]:
    import importlib.util

    return ["onnxruntime", *(name for name in ("openvino", "torch") if importlib.util.find_spec(name))]


def run(code: str, folder: Path, **environment: str) -> None:
    """Run Python in a process with a fresh home and a fresh folder for temporary files, in an environment of its own."""
    places = {name: str(folder / name.lower()) for name in ("HOME", "TMPDIR")}
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "LUSFX_HOME": str(folder / "lusfx")}
    subprocess.run([sys.executable, "-c", code], env=given | places | environment, check=True)


def left_in(folder: Path) -> list[str]:
    """The files in the home and among the temporary ones; torch leaves an empty folder."""
    found = (path for name in ("home", "tmpdir") for path in (folder / name).rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in found)


@pytest.mark.parametrize("said", ["nothing", "0"])
def test_importing_lusfx_turns_reports_off_before_anything_that_reports_is_imported(tmp_path: Path, said: str) -> None:
    """Also where the user allows other programs to report."""
    code = (
        "import os, sys, lusfx\n"
        f"assert not set({LIBRARIES}) & set(sys.modules)\n"
        f"assert {telemetry.VARIABLES}.items() <= os.environ.items()\n"
        "try:\n    import openvino_telemetry\nexcept ImportError:\n    pass\nelse:\n    raise AssertionError\n"
    )
    run(code, tmp_path, **({} if said == "nothing" else dict.fromkeys(telemetry.VARIABLES, said)))


@pytest.mark.slow
def test_encoding_leaves_nothing_at_home_nor_among_temporary_files(tmp_path: Path) -> None:
    run(f"RUNTIMES = {installed()}\n{ENCODE}", tmp_path, ORT_DISABLE_TELEMETRY="0")
    assert left_in(tmp_path) == []


def unshared() -> list[str]:
    """Words before a command that give it a network and mounts of its own; the test is skipped where none can."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("there is no unshare or ip on this machine")
    for words in (["unshare", "-nm"], ["unshare", "-rnm"]):
        if subprocess.run([*words, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0:
            return words
    pytest.skip("this user may make no network of its own")


def watched(code: str, folder: Path) -> list[str]:
    """What Python asked the network for, with a fresh home and a fresh folder for temporary files."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    (folder / "watch.py").write_text(WATCH)
    places = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmpdir"), "LUSFX_HOME": str(folder / "lusfx")}
    for name in ("home", "tmpdir"):
        (folder / name).mkdir()
    mounted = f"mount --bind '{folder}/resolv.conf' /etc/resolv.conf && exec \"$@\""
    command = [
        *unshared(),
        "sh",
        "-c",
        mounted,
        "sh",
        sys.executable,
        str(folder / "watch.py"),
        sys.executable,
        "-c",
        code,
    ]
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"} | places
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["code"] == 0, told["err"]
    heard: list[str] = told["heard"]
    return heard


def test_the_watch_hears_who_asks(tmp_path: Path) -> None:
    heard = watched("import socket\nsocket.create_connection(('telemetry.example', 443)).close()", tmp_path)
    assert any("telemetry" in word for word in heard)
    assert "connection to port 443" in heard


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_extraction_that_takes_more_than_a_minute_asks_nobody_for_anything(tmp_path: Path) -> None:
    """With decoders of its own, and every runtime that is installed held open."""
    unshared()
    write_archive(tmp_path / "exams", n_patients=1, clips_per_patient=2, n_frames=3, seed=1)
    code = (
        f"import time\nfrom pathlib import Path\nimport lusfx\nstarted = time.monotonic()\n"
        f"if __name__ == '__main__':\n"
        f"    found = lusfx.extract([Path({str(tmp_path / 'exams')!r})], Path({str(tmp_path / 'cache')!r}), workers=1)\n"
        f"    assert found.counts == {{'encoded': 2}}, found.counts\n"
        f"    RUNTIMES = {installed()}\n"
        + "".join(f"    {line}\n" for line in ENCODE.splitlines() if line)
        + f"    while time.monotonic() < started + {WATCHED_S}:\n        time.sleep(1)\n"
    )
    assert watched(code, tmp_path) == []
    assert left_in(tmp_path) == []
