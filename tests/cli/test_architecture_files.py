"""Files of architectures with anything in them are refused in one line that names the file."""

from __future__ import annotations

import pytest

from tvtfast.cli.main import main


@pytest.mark.parametrize("command", ["score", "grow"])
@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"\xff\xfe", b"9" * 5000, b'{"arch": {"depth": 1e999}}']
)
def test_damaged_files(command, content, tmp_path, capsys):
    path = tmp_path / "arch.json"
    path.write_bytes(content)
    extra = [] if command == "grow" else ["--space", "asvit"]
    arguments = [*extra, "--arch", str(path), "--data-set", "digits", "--device", "cpu"]
    assert main([command, *arguments]) == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err and len(err.strip().splitlines()[-1]) < 500
    if b"arch" not in content:
        assert str(path) in err
