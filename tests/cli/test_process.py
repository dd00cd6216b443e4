"""What only a process of its own can show; each costs an import of JAX, so they are few."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xarray as xr

from dlnlab.cli import environment

TINY = str(Path(__file__).with_name("tiny.py"))
SECONDS = 60

WITHOUT_JAX = """
import sys
from dlnlab.cli.app import execute
for argv in (["--help"], ["run", "--help"], ["lst"], ["run"], ["list", "--jsn"], ["new"]):
    execute(argv)
    heavy = {"jax", "xarray", "matplotlib", "scipy", "numpy"} & set(sys.modules)
    assert not heavy, (argv, heavy)
"""


def start(*argv: str, **environ: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX")}
    # A shell's background jobs ignore interrupts, and so would whatever they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "dlnlab", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **environ},
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_help_and_mistakes_do_without_jax():
    subprocess.run([sys.executable, "-c", WITHOUT_JAX], check=True, capture_output=True)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_a_run_that_is_stopped_writes_what_is_finished(tmp_path, place, sign):
    process = start(
        "run", TINY, "--steps", "1000000000", "--out", "a.nc", XDG_CACHE_HOME=str(tmp_path)
    )
    deadline = time.monotonic() + SECONDS
    compiled = tmp_path / "dlnlab" / "programs"
    while not list(compiled.glob("jit_segment*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    sent = time.monotonic()
    process.send_signal(sign)
    out, err = process.communicate(timeout=SECONDS)
    # Within a second on a quiet machine; the run itself would take most of an hour.
    assert time.monotonic() - sent < 15
    assert (process.returncode, out) == (130, "")
    assert err == "dln: interrupted; what was finished is in a.nc, marked so.\n"
    assert [item.name for item in place.iterdir()] == ["a.nc"]
    with xr.open_dataset(place / "a.nc", engine="h5netcdf") as found:
        assert found.attrs["interrupted"] == 1
        assert found.step.values.tolist() == [0]  # of the three planned
        assert found.loss.notnull().all()
        assert int(found.status) == found.status.attrs["flag_meanings"].split().index("interrupted")


def test_an_internal_error_exits_with_1_and_its_traceback(tmp_path, place):
    text = Path(TINY).read_text().replace("    target = (", "    1 / 0\n    target = (")
    (place / "ours.py").write_text(text)
    process = start("run", "ours.py", "--out", "a.nc", XDG_CACHE_HOME=str(tmp_path))
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("Traceback")
    assert "ZeroDivisionError" in err
    assert [item.name for item in place.iterdir() if item.is_file()] == ["ours.py"]


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path):
    (tmp_path / "file").touch()
    process = start("run", TINY, "--json", XDG_CACHE_HOME=str(tmp_path / "file"))
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, err) == (0, "")
    assert out.startswith('{"coords"')


def test_a_reader_who_leaves_is_no_error():
    process = start("--help")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=SECONDS) == 141
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.fixture
def flags(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    def prepared(**environ: str) -> dict[str, str]:
        environment.prepare(environ)
        return {name: value for name, value in environ.items() if name.startswith("JAX")}

    return prepared


def test_the_cache_stands_where_the_user_keeps_caches(flags, tmp_path):
    assert flags()["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / ".cache/dlnlab/programs")
    found = flags(XDG_CACHE_HOME=str(tmp_path / "own"))
    assert found["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "own/dlnlab/programs")
    assert found["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    assert Path(found["JAX_COMPILATION_CACHE_DIR"]).is_dir()


def test_the_user_s_own_settings_stay(flags):
    assert flags(JAX_COMPILATION_CACHE_DIR="/there")["JAX_COMPILATION_CACHE_DIR"] == "/there"


def test_the_cache_can_be_switched_off(flags):
    found = flags(DLNLAB_CACHE="off")
    assert found["JAX_ENABLE_COMPILATION_CACHE"] == "false"
    assert "JAX_COMPILATION_CACHE_DIR" not in found
