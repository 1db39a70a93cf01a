"""Recipes: what they hold, and errors with file and line."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from simpleflow.ami import bootstrap, errors, recipe


@pytest.mark.parametrize("name", ["base", "worker"])
def test_the_packaged_recipes_load(name: str) -> None:
    loaded = recipe.load(recipe.find(name))
    assert [each.suite for each in loaded.releases] == ["bookworm", "trixie"]
    assert loaded.tests


def test_worker_extends_base(worker: recipe.Recipe) -> None:
    base = recipe.load(recipe.find("base"))
    assert set(base.packages) <= set(worker.packages)
    assert worker.tests[: len(base.tests)] == base.tests
    assert worker.size_gib == base.size_gib


def test_a_file_replaces_that_of_the_extended_recipe(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndescription: d\nextends: worker\nfiles:\n  - {path: /etc/fstab, content: '# own'}\n")
    fstab = [each for each in recipe.load(path).files if each.path == "/etc/fstab"]
    assert [each.content for each in fstab] == ["# own\n"]


MINIMAL = "name: r\ndescription: d\nreleases: {debian12: {suite: bookworm}}\ndisk: {size_gib: 2, max_blocks: 9}\n"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "empty"),
        ("name: [", 1, "not YAML"),
        ("name: r\n", 1, "needs 'description'"),
        (MINIMAL + "pakages: [x11]\n", 5, "unknown key 'pakages'"),
        (MINIMAL + "name: again\n", 5, "stands twice"),
        (MINIMAL + "packages: [ok, 'Not A Package']\n", 5, "does not look like one"),
        (MINIMAL + "packages: nginx\n", 5, "must be a list"),
        (MINIMAL.replace("size_gib: 2", "size_gib: 0"), 4, "whole number from 1 to 1024"),
        (MINIMAL + "files:\n  - path: etc/x\n    content: y\n", 6, "must be absolute"),
        (MINIMAL + "files:\n  - path: /etc/../x\n    content: y\n", 6, "without '..'"),
        (MINIMAL + "files:\n  - {path: /x, content: y, mode: '644'}\n", 6, "mode '644'"),
        (MINIMAL + "files:\n  - path: /x\n    content: |\n      SIMPLEFLOW_END_OF_FILE\n", 7, "ends it in the script"),
        (MINIMAL + "files:\n  - {path: /x, content: a}\n  - {path: /x, content: b}\n", 6, "the same path"),
        (MINIMAL + "units:\n  mask: [getty]\n", 6, "does not look like one"),
        (MINIMAL + "tests:\n  - name: t\n", 6, "needs run"),
        (MINIMAL + "extends: nothing\n", 5, "no recipe 'nothing'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(errors.RecipeError) as caught:
        recipe.load(path)
    assert any(each.startswith(f"{path}:{line}: ") and says in each for each in caught.value.problems), caught.value


def test_every_problem_is_shown_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(MINIMAL + "oops: 1\nunits: {enable: [x]}\n")
    with pytest.raises(errors.RecipeError) as caught:
        recipe.load(path)
    assert len(caught.value.problems) == 2


def test_a_recipe_cannot_extend_itself(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\ndescription: d\nextends: b\n")
    (tmp_path / "b.yaml").write_text("name: b\ndescription: d\nextends: a\n")
    with pytest.raises(errors.RecipeError, match="extends itself"):
        recipe.load(tmp_path / "a.yaml")


def test_unknown_names_say_which_there_are(worker: recipe.Recipe) -> None:
    with pytest.raises(errors.AmiError, match="base, worker"):
        recipe.find("render")
    with pytest.raises(errors.AmiError, match="debian12, debian13"):
        worker.release("debian11")


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_the_bootstrap_script_is_a_shell_script(worker: recipe.Recipe, release: str, tmp_path: Path) -> None:
    script = bootstrap.render(worker, worker.release(release))
    assert script == bootstrap.render(worker, worker.release(release))
    path = tmp_path / "bootstrap.sh"
    path.write_text(script)
    subprocess.run(["sh", "-n", str(path)], check=True)
    refused = subprocess.run(["sh", str(path), "elsewhere"], capture_output=True, text=True, check=False)
    assert refused.returncode == 64
    # 'halt' leaves an EC2 instance running, and billing.
    assert "halt" not in script.split()
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (scripts/test-setup): only 'sh -n' was run")
    checked = subprocess.run(["shellcheck", str(path)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_requirements_are_quoted_for_the_shell(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\ndescription: d\nextends: worker\npython: {venv: /opt/v, requirements: ['numpy>=2; x', 'b']}\n"
    )
    loaded = recipe.load(path)
    script = bootstrap.render(loaded, loaded.releases[0])
    assert "'numpy>=2; x'" in script
    assert "compileall -q --invalidation-mode unchecked-hash /opt/v" in script


def test_a_running_machine_keeps_its_network_and_its_keys(worker: recipe.Recipe) -> None:
    script = bootstrap.render(worker, worker.releases[0])
    live = [block.splitlines()[0] for block in script.split("\nput ")[1:]]
    only = {each.path for each in worker.files if each.image_only}
    assert {"/etc/fstab", "/etc/systemd/network/50-ethernet.network"} <= only
    assert {each.split()[0] for each in live} == {each.path for each in worker.files}
    before, _, after = script.rpartition('if [ "$mode" = image ]; then')
    assert "ssh_host" in after
    assert "ssh_host" not in before
    for path in only:
        assert f'if [ "$mode" = image ]; then\nput {path} ' in script
