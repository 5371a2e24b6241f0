"""The environment that the two commands make, with a real virtual environment and a real pip, from packages made here."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


def load(name: str) -> ModuleType:
    """A script of `packaging/`, imported from its file: that folder is no package and shares its name with one."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, PACKAGING / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


needs = load("needs")
environment = load("environment")


class Project:
    """A folder with locks of its own, and a shelf of packages that pip may take from."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.shelf = folder / "shelf"
        (self.root / "packaging").mkdir(parents=True)
        (self.root / "app").mkdir()
        (self.root / "app" / "__init__.py").write_text("")
        self.shelf.mkdir()
        self.python = self.root / ".venv" / "bin" / "python"

    def wheel(self, name: str, version: str = "1.0", size: int = 10) -> str:
        """Makes a package and returns its line in a lock."""
        info = f"{name}-{version}.dist-info"
        files = {
            f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(),
            f"{name}/data.bin": os.urandom(size),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = ""
        for path, content in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(content)}\n"
        files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
        path = self.shelf / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for inner, content in files.items():
                archive.writestr(inner, content)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"

    def lock(self, *lines: str, purpose: str = "run") -> None:
        (self.root / environment.LOCKS[purpose]).write_text("".join(lines))

    def ready(self, purpose: str = "run") -> str:
        return str(environment.ready(str(self.root), purpose))

    def ready_elsewhere(self, purpose: str = "run") -> subprocess.Popen[bytes]:
        code = f"import sys; sys.path.insert(0, {str(PACKAGING)!r}); import environment; environment.ready({str(self.root)!r}, {purpose!r})"
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def version(self, name: str) -> str:
        """Of the installed package, whole as it was made; "" when it is not there."""
        code = f"import {name}, pathlib; print({name}.VERSION, (pathlib.Path({name}.__file__).parent / 'data.bin').stat().st_size)"
        return subprocess.run([str(self.python), "-I", "-c", code], capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, env=environment.of_children())
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: Path) -> Project:
    made = Project(tmp_path)
    # Only what was made here: no index, and nothing of this machine's own configuration.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(made.shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    alpha, beta = made.wheel("alpha"), made.wheel("beta")
    made.lock(alpha, purpose="run")
    made.lock(alpha, beta, purpose="test")
    # A new virtual environment takes seconds; this one has pip and nothing else, as after an interruption at that point.
    shutil.copytree(bare, made.root / ".venv", symlinks=True)
    return made


def test_what_the_lock_names_is_installed_once_and_then_nothing_is_done(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project.root / ".venv")
    python = project.ready()
    assert project.version("alpha") == "1.0 10"
    assert project.version("beta") == ""
    capfd.readouterr()
    for path in project.shelf.iterdir():
        path.unlink()
    assert project.ready() == python
    assert capfd.readouterr().out == ""


def test_the_tests_environment_grows_out_of_the_apps_and_serves_both(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.ready("run")
    capfd.readouterr()
    project.ready("test")
    assert "Making" not in capfd.readouterr().out
    assert (project.version("alpha"), project.version("beta")) == ("1.0 10", "1.0 10")
    project.ready("run")
    assert capfd.readouterr().out == ""


def test_the_app_can_be_imported_from_any_folder_and_has_its_command(project: Project, tmp_path: Path) -> None:
    project.ready()
    code = "import app; print(app.__file__)"
    done = subprocess.run([str(project.python), "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(project.root / "app" / "__init__.py")
    (project.root / "app" / "__main__.py").write_text("import sys; print(sys.argv[1:])")
    link = tmp_path / "gatehouse"
    link.symlink_to(project.python.with_name("gatehouse"))
    done = subprocess.run([str(link), "a b", "c"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['a b', 'c']"


def test_a_package_that_does_not_fit_its_hash_is_not_installed(project: Project) -> None:
    line = project.wheel("alpha")
    project.lock(line)
    project.wheel("alpha")  # the same name and version, other bytes
    with pytest.raises(environment.InstallError) as caught:
        project.ready()
    assert "goes on where it stopped" in str(caught.value)
    assert project.version("alpha") == ""
    assert "run" not in environment.read_stamp(str(project.root))


def test_a_package_without_a_hash_is_not_installed(project: Project) -> None:
    project.wheel("alpha")
    project.lock("alpha==1.0\n")
    with pytest.raises(environment.InstallError):
        project.ready()
    assert project.version("alpha") == ""


def test_a_source_archive_is_never_built(project: Project) -> None:
    import io
    import tarfile

    planted = project.root / "planted"
    with tarfile.open(project.shelf / "gamma-1.0.tar.gz", "w:gz") as archive:
        for name, text in {"setup.py": f"open({str(planted)!r}, 'w').close()", "PKG-INFO": "Name: gamma\nVersion: 1.0\n"}.items():
            member = tarfile.TarInfo(f"gamma-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha256((project.shelf / "gamma-1.0.tar.gz").read_bytes()).hexdigest()
    project.lock(f"gamma==1.0 --hash=sha256:{digest}\n")
    with pytest.raises(environment.InstallError):
        project.ready()
    assert not planted.exists()


def test_another_lock_leaves_nothing_of_the_old_one_behind(project: Project) -> None:
    project.ready()
    project.lock(project.wheel("beta", "2.0"))
    project.ready()
    assert (project.version("alpha"), project.version("beta")) == ("", "2.0 10")


def test_what_pip_had_half_in_place_when_it_died_is_put_in_place_again(project: Project) -> None:
    project.ready()
    packages = Path(environment.site_packages(str(project.python)))
    (packages / "alpha" / "data.bin").unlink()
    (packages / "alpha-1.0.dist-info" / "RECORD").unlink()
    stamp = environment.read_stamp(str(project.root))
    environment.write_stamp(str(project.root), {"began": stamp["run"]})
    project.ready()
    assert project.version("alpha") == "1.0 10"


def test_a_file_cut_short_is_noticed_when_an_installation_is_taken_up(project: Project) -> None:
    project.lock(project.wheel("alpha", size=5000))
    project.ready()
    packages = Path(environment.site_packages(str(project.python)))
    (packages / "alpha" / "data.bin").write_bytes(b"short")
    stamp = environment.read_stamp(str(project.root))
    environment.write_stamp(str(project.root), {"began": stamp["run"]})
    project.ready()
    assert project.version("alpha") == "1.0 5000"


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.3, 2.0, 3.5])
def test_killed_at_any_moment_it_is_taken_up_again(project: Project, after_s: float) -> None:
    project.lock(project.wheel("alpha", size=3_000_000), project.wheel("beta", size=3_000_000))
    shutil.rmtree(project.root / ".venv")
    child = project.ready_elsewhere()
    time.sleep(after_s)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    project.ready()
    assert (project.version("alpha"), project.version("beta")) == ("1.0 3000000", "1.0 3000000")


def test_two_at_once_wait_for_one_another(project: Project) -> None:
    first, second = project.ready_elsewhere("run"), project.ready_elsewhere("test")
    assert (first.wait(100), second.wait(100)) == (0, 0)
    assert (project.version("alpha"), project.version("beta")) == ("1.0 10", "1.0 10")


@pytest.mark.slow
def test_an_environment_whose_python_has_gone_is_made_anew(project: Project) -> None:
    project.ready()
    for name in ("python", "python3"):
        link = project.python.with_name(name)
        link.unlink()
        link.symlink_to("/nonexistent/python")
    project.ready()
    assert project.version("alpha") == "1.0 10"


@pytest.mark.slow
def test_a_moved_project_gets_an_environment_that_knows_its_new_place(project: Project, tmp_path: Path) -> None:
    project.ready()
    project.root = project.root.rename(tmp_path / "moved here")
    project.python = project.root / ".venv" / "bin" / "python"
    project.ready()
    code = "import app; print(app.__file__)"
    done = subprocess.run([str(project.python), "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(project.root / "app" / "__init__.py")


def test_a_persons_own_pip_settings_for_their_user_do_not_break_it(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(f"[global]\nfind-links = {project.shelf}\n[install]\nuser = true\n")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    project.ready()
    assert project.version("alpha") == "1.0 10"


def test_children_keep_their_byte_code(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPATH", "/nonexistent")
    assert not {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH"} & set(environment.of_children())
    project.ready()
    packages = Path(environment.site_packages(str(project.python)))
    assert list((packages / "alpha" / "__pycache__").glob("*.pyc"))


def test_an_interpreter_that_is_not_there_has_no_version() -> None:
    assert environment.version_of([sys.executable]) == sys.version_info[:2]
    assert environment.version_of(["/nonexistent/python"]) is None
    assert environment.version_of(["/bin/false"]) is None
