"""What is said where a package is missing or too old."""

import pytest

from tvtfast.common.optional import need


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts a package of a version on the path, with or without metadata."""

    def made(name, version):
        (tmp_path / f"{name}.py").write_text("")
        if version is not None:
            info = tmp_path / f"{name}-{version}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return made


def test_a_missing_package_is_named_with_its_version_and_the_extra():
    with pytest.raises(ModuleNotFoundError) as raised:
        need("tvtfast_no_such_host", "1.1.5", what="the loss of a host", extra="hosts")
    assert str(raised.value) == (
        "the loss of a host needs tvtfast_no_such_host 1.1.5 or newer, which is not installed; "
        "pip install 'tvtfast[hosts]'"
    )


@pytest.mark.parametrize("version", ["1.9", "1.10rc1", "1"])
def test_an_old_package_is_named_with_both_versions(package, version):
    package("tvtfast_old_host", version)
    with pytest.raises(ImportError, match=f"2.0 or newer, and {version} is installed; pip install"):
        need("tvtfast_old_host", "2.0", what="it")


@pytest.mark.parametrize("version", ["1.10", "1.10.1", "2.0.0.dev1", None])
def test_a_new_package_and_a_source_folder_are_taken(package, version):
    package("tvtfast_new_host", version)
    need("tvtfast_new_host", "1.9.5", what="it")
