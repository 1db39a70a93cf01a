"""What ``up`` packs: everything that the cluster file names on the client, for the machines, and for nobody else."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nodes import wheelhouse
from simpleflow.core import documents
from simpleflow.nodes import config, errors, published, setups
from simpleflow.nodes.bundle import bundle, code, packing, requirements, wheels
from simpleflow.nodes.providers import base, ssh

HERE = wheels.python_here()
OTHER = "3.13" if HERE != "3.13" else "3.12"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """simpleflow is a small wheel that needs one installed package; pip has no index but what a test names."""
    own = wheelhouse.wheel(tmp_path / "own", "simpleflow", "1.0.dev0", requires=["click>=1", "more; extra == 'x'"])
    monkeypatch.setattr(packing, "own_wheel", lambda folder: own)
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheelhouse.installed(tmp_path / "site", wheelhouse.wheel(tmp_path / "here", "click", "1.5"))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def cluster(given: str, more: str = "") -> config.ClusterConfig:
    text = (
        f"cluster: c\nprovider: ssh\nprofiles: {{p: {{hosts: [h]{more}}}}}\ntask_lists: {{l: {{profile: p, max: 1}}}}\n"
    )
    return config.loads(f"{text}code: {given}\n")


def packed(given: str, root: Path, more: str = "") -> tuple[dict[str, Any], list[str]]:
    """code.json, and the names of what else is in the bundle."""
    made = bundle.Builder(cluster(given, more)).code(root)
    with tarfile.open(fileobj=io.BytesIO(made.content)) as archive:
        member = archive.extractfile("code.json")
        assert member is not None
        return json.loads(member.read()), sorted(set(archive.getnames()) - {"code.json"})


def test_everything_that_machines_need_is_held(tmp_path: Path) -> None:
    about, names = packed("{}", tmp_path)
    assert names == ["wheels/click-1.5-py3-none-any.whl", "wheels/simpleflow-1.0.dev0-py3-none-any.whl"]
    assert [name for name, _ in about["held"]["x86_64"]] == names
    assert (about["index"], about["python"], about["wanted"]) == (False, HERE, [])
    first, second = (bundle.Builder(cluster("{}")).code(tmp_path) for _ in range(2))
    assert first == second, "the same files give the same bundle"


def test_wheels_and_requirement_files_of_the_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    wheelhouse.wheel(tmp_path / "home/w", "toolz", "0.1", requires=["click"])
    wheelhouse.wheel(tmp_path / "dist", "films", "1", requires=["toolz"])
    (tmp_path / "requirements.txt").write_text("# ours\nclick >= 1  # any\n\nnever; sys_platform == 'win32'\n")
    given = (
        "{wheel: dist/films-1-py3-none-any.whl, wheels: [~/w/toolz-0.1-py3-none-any.whl], "
        "requirements: requirements.txt}"
    )
    _, names = packed(given, tmp_path)
    assert [name.split("/")[1].split("-")[0] for name in names] == ["click", "films", "simpleflow", "toolz"]


def test_requirement_files_with_options_are_resolved_here(tmp_path: Path) -> None:
    wheelhouse.wheel(tmp_path / "private", "toolz", "0.1")
    (tmp_path / "requirements.txt").write_text("--find-links private\ntoolz\n")
    _, names = packed("{requirements: requirements.txt}", tmp_path)
    assert "wheels/toolz-0.1-py3-none-any.whl" in names
    made = wheelhouse.wheel(tmp_path / "private", "other", "3")
    _, names = packed(f"{{requirement: 'other @ {made.as_uri()}'}}", tmp_path)
    assert "wheels/other-3-py3-none-any.whl" in names


def test_what_a_requirement_file_says_of_indexes_counts_for_all_that_its_lines_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a public package of the same name comes in place of a private one."""
    monkeypatch.delenv("PIP_NO_INDEX")
    strange = wheelhouse.wheel(tmp_path / "strange", "toolz", "9.0")
    monkeypatch.setenv("PIP_INDEX_URL", wheelhouse.index(tmp_path / "public", strange))
    ours = [
        wheelhouse.wheel(tmp_path / "ours", "films", "1", requires=["toolz"]),
        wheelhouse.wheel(tmp_path / "ours", "toolz", "0.1"),
        wheelhouse.wheel(tmp_path / "ours", "toolz", "0.2"),
    ]
    (tmp_path / "reqs").mkdir()
    (tmp_path / "reqs/bounds.txt").write_text("toolz<0.2\n")
    index = wheelhouse.index(tmp_path / "private", *ours)
    (tmp_path / "reqs/all.txt").write_text("-r more.txt\n-c bounds.txt\n")
    (tmp_path / "reqs/more.txt").write_text(f"--index-url={index}\nfilms\n")
    _, names = packed("{requirements: reqs/all.txt}", tmp_path)
    assert [each for each in names if "films" in each or "toolz" in each] == [
        "wheels/films-1-py3-none-any.whl", "wheels/toolz-0.1-py3-none-any.whl",
    ]  # fmt: skip


def test_extras_of_a_file_count_and_settings_of_pip_may_be_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = wheelhouse.wheel(tmp_path / "given", "other", "3", requires=["toolz; extra == 'gpu'"])
    wheelhouse.wheel(tmp_path / "links", "toolz", "0.1")
    wheelhouse.wheel(tmp_path / "links", "click", "1.4")
    (tmp_path / "bounds.txt").write_text("click < 1.5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "links")
    monkeypatch.setenv("PIP_CONSTRAINT", "bounds.txt")
    (tmp_path / "root").mkdir()
    for given in (f"other[gpu] @ {made.as_uri()}", f"{made}[gpu]"):
        _, names = packed(f"{{requirement: '{given}'}}", tmp_path / "root")
        assert "wheels/toolz-0.1-py3-none-any.whl" in names
    assert "wheels/click-1.4-py3-none-any.whl" in names, "what is installed here breaks the constraint"


def test_requirement_files_are_read_as_pip_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    (tmp_path / "links").mkdir()
    (tmp_path / "more.txt").write_text("-fmissing\n--pre\nb[x]>1 # why\n-r all.txt\n")
    (tmp_path / "all.txt").write_text(
        "# ours\n--extra-index-url https://u:${TOKEN}@h/simple\n-f links\na == 1 ; \\\npython_version > '3'\n"
        "-r more.txt\n-e ./films[gpu,all]\ngit+https://h/r#egg=c[y]\nd[z] @ https://h/d.whl ; sys_platform == 'linux'\n"
    )
    found = requirements.read_file(tmp_path / "all.txt")
    assert found.names == ["a == 1 ;  python_version > '3'", "b[x]>1"]
    assert found.others
    assert found.extras == ["c[y]", 'd[z]; sys_platform == "linux"']
    assert found.nameless == [("./films", "gpu,all")]
    given, file = requirements.arguments(found.options, tmp_path)
    assert given == "-r", "no password on a command line"
    assert Path(file).read_text().splitlines() == [
        "--extra-index-url https://u:secret@h/simple", f"--find-links {tmp_path}/links",
        "--find-links missing", "--pre",
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_requirement_files_of_windows_are_read_too(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "all.txt").write_bytes("a==1  # wie früher\r\n--pre\r\nb\r\n".encode(encoding))
    found = requirements.read_file(tmp_path / "all.txt")
    assert (found.names, found.options, found.others) == (["a==1", "b"], ["--pre", ""], False)


def test_a_folder_of_modules_and_a_package(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "jobs"
    (folder / "data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[tool.ruff]\n")
    for name in ("night.py", "data/table.csv", ".secret", "__pycache__/night.pyc", "venv/pyvenv.cfg", "venv/x.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    _, names = packed("{path: work/jobs}", tmp_path)
    assert [each for each in names if each.startswith("source/")] == [
        "source/data/table.csv", "source/night.py", "source/pyproject.toml",
    ]  # fmt: skip
    assert code.working_folder(folder) == folder
    (folder / "__init__.py").write_text("")
    _, names = packed("{path: work/jobs}", tmp_path)
    assert "source/jobs/night.py" in names
    assert code.working_folder(folder) == folder.parent


def test_machines_that_are_not_like_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Markers count as the machine reads them, wheels are those of its architecture."""
    monkeypatch.delenv("PIP_NO_INDEX")
    folder, tag = tmp_path / "pypi", f"cp{OTHER.replace('.', '')}"
    found = [
        wheelhouse.wheel(
            folder, "click", "2", requires=[f"late; python_version == '{OTHER}'", f"now; python_version == '{HERE}'"]
        ),
        wheelhouse.wheel(folder, "late", "1", tag=f"{tag}-{tag}-manylinux_2_17_x86_64"),
        wheelhouse.wheel(folder, "late", "1", tag=f"{tag}-{tag}-manylinux_2_17_aarch64"),
        wheelhouse.wheel(folder, "now", "1"),
    ]
    monkeypatch.setenv("PIP_INDEX_URL", wheelhouse.index(tmp_path / "index", *found))
    about, names = packed(f"{{python: '{OTHER}', architectures: [x86_64, arm64]}}", tmp_path)
    late = {key: [name for name, _ in held if "late" in name] for key, held in about["held"].items() if key}
    assert late == {
        "x86_64": [f"wheels/late-1-{tag}-{tag}-manylinux_2_17_x86_64.whl"],
        "arm64": [f"wheels/late-1-{tag}-{tag}-manylinux_2_17_aarch64.whl"],
    }
    assert about["python"] == OTHER
    assert not [name for name in names if "now" in name]


def test_with_an_index_only_files_of_the_client_are_held(tmp_path: Path) -> None:
    about, names = packed("{requirement: films==1.0, index: true}", tmp_path)
    assert names == ["wheels/simpleflow-1.0.dev0-py3-none-any.whl"]
    assert (about["index"], about["wanted"]) == (True, ["films==1.0"])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{wheel: dist/gone-1-py3-none-any.whl}", "code.wheel: .*gone-1-py3-none-any.whl does not exist"),
        ("{requirements: gone.txt}", "code.requirements: .*gone.txt does not exist"),
        ("{path: ~/gone}", "code.path: .*gone does not exist"),
        ("{wheels: [bad-1-py3-none-any.whl]}", "bad-1-py3-none-any.whl is not a wheel"),
        ("{wheels: [mac-1-cp311-cp311-macosx_11_0_arm64.whl]}", "cannot be installed by Python .* on x86_64"),
        ("{wheels: [films-1-py3-none-any.whl, films-2-py3-none-any.whl]}", "code gives films twice"),
        ("{requirement: not-installed-anywhere}", "not-installed-anywhere for Python .* are missing.*code.wheels"),
        ("{requirement: 'click<1'}", "click<1"),
    ],
)
def test_what_cannot_be_packed_says_what_to_do(tmp_path: Path, given: str, says: str) -> None:
    (tmp_path / "bad-1-py3-none-any.whl").write_bytes(b"no archive")
    wheelhouse.wheel(tmp_path, "mac", "1", tag="cp311-cp311-macosx_11_0_arm64")
    for number in ("1", "2"):
        wheelhouse.wheel(tmp_path, "films", number)
    with pytest.raises(errors.NodesError, match=f"(?s){says}"):
        bundle.Builder(cluster(given)).code(tmp_path)


def test_an_installed_distribution_is_packed_as_it_was_or_not_at_all(tmp_path: Path) -> None:
    from importlib import metadata

    from simpleflow.nodes.bundle import repack

    made = repack.wheel(metadata.distribution("jmespath"), tmp_path)
    assert made is not None
    assert wheels.read(made).version == metadata.version("jmespath") or str(wheels.read(made).version)
    distribution = next(iter(metadata.distributions(path=[str(tmp_path / "site")])))
    assert distribution.name == "click"
    again = repack.wheel(distribution, tmp_path / "again")
    assert again is not None
    assert repack.wheel(distribution, tmp_path / "twice").read_bytes() == again.read_bytes()  # type: ignore[union-attr]
    record = tmp_path / "site/click-1.5.dist-info/RECORD"
    record.write_text(record.read_text().replace("click/__init__.py,,", "click/__init__.py,sha256=AAAA,1"))
    assert repack.wheel(distribution, tmp_path / "changed") is None


def test_what_came_here_from_no_index_is_looked_for_in_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    folder = tmp_path / "strange"
    found = [wheelhouse.wheel(folder, "films", "9.0"), wheelhouse.wheel(folder, "click", "2")]
    monkeypatch.setenv("PIP_INDEX_URL", wheelhouse.index(tmp_path / "index", *found))
    wheelhouse.installed(tmp_path / "site", wheelhouse.wheel(tmp_path / "here", "films", "1"))
    address = tmp_path / "site/films-1.dist-info/direct_url.json"
    address.write_text('{"archive_info": {}, "url": "file:///dist/films-1-py3-none-any.whl"}')
    _, names = packed(f"{{requirement: films, python: '{OTHER}'}}", tmp_path)
    assert "wheels/films-1-py3-none-any.whl" in names, "for other machines too"
    address.write_text(json.dumps({"dir_info": {"editable": True}, "url": (tmp_path / "gone").as_uri()}))
    with pytest.raises(errors.NodesError, match=r"films is installed here from .*gone.*No index is asked for it"):
        packed("{requirement: films}", tmp_path)
    (address.parent / "INSTALLER").write_text("conda\n")
    _, names = packed("{requirement: films>1}", tmp_path)
    assert "wheels/films-9.0-py3-none-any.whl" in names


def test_machines_get_a_cluster_file_without_what_only_the_client_has() -> None:
    text = (
        "cluster: c\nprovider: ec2\nregion: eu-west-1\nprofiles: {p: {types: [m7i.large]}}\n"
        "task_lists: {l: {profile: p, max: 1}}\ncode: {path: ./jobs, wheels: [~/w.whl], modules: [films]}\n"
    )
    setup = setups.machine_setup(config.loads(text), setups.DECIDERS, "s3://b")
    sent = config.loads(setup.cluster_file)
    assert sent.code == config.Code(modules=("films",))
    assert sent.profiles == config.loads(text).profiles


def test_the_key_and_the_code_of_ssh_are_relative_to_the_cluster_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir("/")
    wheelhouse.wheel(tmp_path / "w", "toolz", "0.1")
    given = cluster("{wheel: w/toolz-0.1-py3-none-any.whl}", ", ssh: {key: keys/id, known_hosts: ~/known}")
    known = code.resolved_file(given, tmp_path)
    context = base.ProviderContext(cluster=known, setups={}, folder=str(tmp_path / "state"))
    provider = ssh.create(context)
    found = provider._profiles["p"].ssh
    assert (found.key, found.known_hosts) == (str(tmp_path / "keys/id"), str(tmp_path / "home/known"))
    content, digest = provider._code()
    assert content != b""
    assert digest == bundle.Builder(given).code(tmp_path).digest
    for requirement in ("-r r.txt --no-binary :none:", "./films", "~/films"):
        (tmp_path / "r.txt").touch()
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "home/films").mkdir(parents=True, exist_ok=True)
        shown = code.resolved_file(cluster(f"{{requirement: '{requirement}'}}"), tmp_path).code.requirement
        assert str(tmp_path) in shown
    assert code.resolved_file(cluster("{requirement: films==1}"), tmp_path).code.requirement == "films==1"


def test_setups_of_machines_name_no_folder_of_the_client() -> None:
    text = "cluster: c\nprovider: ssh\nprofiles: {p: {hosts: [h]}}\ntask_lists: {l: {profile: p, max: 1}}\n"
    setup = setups.machine_setup(config.loads(f"{text}code: {{path: {Path.cwd()}}}\n"), "p", "s3://b")
    assert str(Path.cwd()) not in msgspec.json.encode(setup).decode()
    assert isinstance(setup, documents.NodeSetup)
    assert sys.executable not in msgspec.json.encode(setup).decode()


def test_links_are_followed_as_imports_do_and_those_without_an_end_are_not(tmp_path: Path) -> None:
    common, films = tmp_path / "shared" / "common", tmp_path / "my films"
    (common / "deep").mkdir(parents=True)
    (common / "__init__.py").write_text("")
    (common / "deep" / "tax.py").write_text("RATE = 19")
    (tmp_path / "table.csv").write_text("1;2")
    films.mkdir()
    (films / "flows.py").write_text("import common")
    (films / "common").symlink_to("../shared/common")
    (films / "again").symlink_to(common)
    (films / "table.csv").symlink_to(tmp_path / "table.csv")
    (films / "gone.py").symlink_to("nowhere.py")
    (films / "self").symlink_to(".")
    (films / "up").symlink_to("..")
    (common / "back").symlink_to(films)
    (common / "mutual").symlink_to(common / "deep")
    (common / "deep" / "loop").symlink_to(common)
    held = dict(packing._source(films))
    own = {"flows.py", "table.csv"}
    linked = {"__init__.py", "deep/tax.py", "mutual/tax.py"}
    assert set(held) == own | {f"{name}/{each}" for name in ("common", "again") for each in linked}
    assert held["common/deep/tax.py"] == b"RATE = 19"
    before = published.code_of(cluster("{path: .}"), films, films)
    (common / "deep" / "tax.py").write_text("RATE = 20")
    assert published.code_of(cluster("{path: .}"), films, films) != before
