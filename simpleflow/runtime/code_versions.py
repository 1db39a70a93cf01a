"""One worker, one version of the code: a module stays as the worker's first runner imported it.

Runners import what a task names, and are replaced now and then; without this, code that changes on disk under a worker
would run mixed, old and new. A runner that is about to run a module of the user's own asks the worker, which keeps the
source that it hears of first: that is what each runner runs. With its next task a runner is told what others imported,
so that it finds a module whose file is gone.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import importlib.util
import logging
import marshal
import os
import sys
import sysconfig
import threading
import time
import zipimport
from collections.abc import Callable, Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any, TypeAlias

import msgspec

logger = logging.getLogger(__name__)

#: seconds between two looks at the files on disk
EVERY = 10.0
#: nanoseconds after a change of a source in which its compiled file may be of the version before
DOUBT = 2_000_000_000


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """A module as it was when it was first imported."""

    name: str
    #: the file that it was read from: its own, or an archive
    path: str
    package: bool
    #: st_mtime_ns and st_size of that file
    stamp: tuple[int, int]
    #: its source; where it came from an archive or without a source, its code as ``marshal`` writes it
    source: bytes
    compiled: bool = False
    #: its name in an archive; '': its path
    member: str = ""

    @property
    def file(self) -> str:
        """What its ``__file__`` is."""
        return self.member or self.path


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


class Versions:
    """The worker's side: what its runners import. Thread safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._modules: dict[str, Module] = {}
        self._told: set[str] = set()
        self._looked = time.monotonic()

    def known(self) -> tuple[Module, ...]:
        """Return each module as it runs here."""
        with self._lock:
            return tuple(self._modules.values())

    def after(self, count: int) -> tuple[Module, ...]:
        """Return what became known after the first ``count`` modules."""
        with self._lock:
            return () if len(self._modules) == count else tuple(self._modules.values())[count:]

    def settle(self, module: Module) -> Module:
        """Return the version to run of a module that a runner found: the first one that any runner found."""
        with self._lock:
            return self._modules.setdefault(module.name, module)

    def changed(self) -> list[str]:
        """Return the files that are not on disk any more as they run here."""
        return sorted(module.path for module in self.known() if _differs(module))

    def look(self) -> None:
        """Say once for each file that it changed on disk; looks every ten seconds at most."""
        now = time.monotonic()
        with self._lock:
            if now - self._looked < EVERY:
                return
            self._looked = now
        news = [path for path in self.changed() if path not in self._told]
        if news:
            self._told.update(news)
            logger.warning(
                "%s changed on disk: this worker goes on with the version that it began with. Restart it, or start "
                "workers with --reload.",
                ", ".join(news),
                extra={"action": "code_changed"},
            )


def _differs(module: Module) -> bool:
    stamp = _stamp(module.path)
    if stamp == module.stamp or module.compiled:
        return stamp != module.stamp
    try:
        with open(module.path, "rb") as file:
            return file.read() != module.source
    except OSError:  # deleted, or being replaced
        return True


def _cached_since(module: Module) -> bool:
    """Tell whether Python's compiled file can be trusted to be of this very source.

    Python compares whole seconds and the size: a file that is written twice within a second, with one length, keeps the
    compiled code of its first version. A compiled file that is two seconds younger than the source has no such doubt.
    """
    try:
        compiled = os.stat(importlib.util.cache_from_source(module.path))
    except (OSError, NotImplementedError):
        return True  # Python compiles the source itself
    return compiled.st_mtime_ns - module.stamp[0] >= DOUBT


class Importer:
    """The runner's side: a finder of modules, in front of the one that looks at the disk."""

    def __init__(self, known: Sequence[Module], settle: Callable[[Module], Module]) -> None:
        """``settle`` asks the worker which version of a module that was found is to run."""
        self._known: dict[str, Module] = {}
        self.keep(known)
        self._settle = settle
        places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
        own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        #: packages that tasks named: the user's own, wherever they are installed
        self._named: set[str] = set()
        self._others = tuple(os.path.realpath(place) + os.sep for place in {*places, own})

    def install(self) -> None:
        place = sys.meta_path.index(importlib.machinery.PathFinder)
        sys.meta_path.insert(place, self)

    def include(self, task: str) -> None:
        """Keep the package that a task's name begins with, also where other people's packages are installed."""
        package = task.partition(".")[0]
        if package not in sys.stdlib_module_names:
            self._named.add(package)

    def keep(self, modules: Iterable[Module]) -> None:
        """Import these modules as they are given, whatever lies on disk. Thread safe."""
        for module in modules:
            self._known.setdefault(module.name, module)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        known = self._known.get(name)
        if known is not None:
            places = [os.path.dirname(known.file)] if known.package else None
            return importlib.util.spec_from_file_location(
                name, known.file, loader=self._loader_of(known), submodule_search_locations=places
            )
        spec = self._next_spec(name, path, target)
        if spec is None:
            return self._namespace(name)
        if not self._ours(spec):
            return spec
        loader: Any = spec.loader
        if type(loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(name, str(spec.origin), self.load)
        elif type(loader) is importlib.machinery.SourcelessFileLoader:
            spec.loader = _Sourceless(name, str(spec.origin), self.load)
        elif type(loader) is zipimport.zipimporter:
            spec.loader = self._zip(os.path.join(loader.archive, loader.prefix))
        return spec

    def _namespace(self, name: str) -> importlib.machinery.ModuleSpec | None:
        """Return a package without a file of which a module is kept: its folder is gone."""
        if not any(each.startswith(f"{name}.") for each in tuple(self._known)):
            return None
        return importlib.machinery.ModuleSpec(name, None, is_package=True)

    def _loader_of(self, known: Module) -> Any:
        if known.member:  # Its data is read from the archive, where that is still there.
            with contextlib.suppress(ImportError):
                return self._zip(os.path.dirname(known.member))
        return _Loader(known.name, known.file, self.load)

    def _zip(self, path: str) -> Any:  # typeshed does not say that it is a loader
        return _Zip(path, self.load)

    def _next_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what the finders behind this one find: that of ``sys.path``, and those of editable installs."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: importlib.machinery.ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                return spec
        return None

    def load(self, name: str, loader: _Kept) -> CodeType | None:
        """Return the code of a module's kept source; None: what Python has on disk is the same."""
        module = self._known.get(name) or self._learn(name, loader)
        if module is not None and module.compiled:
            code: CodeType = marshal.loads(module.source)  # noqa: S302 - the worker's own runner wrote it
            return code
        if (
            module is None
            or not isinstance(loader, _Loader)
            or (_stamp(module.path) == module.stamp and _cached_since(module))
        ):
            return None
        return loader.source_to_code(module.source, module.path)

    def _learn(self, name: str, loader: _Kept) -> Module | None:
        if not isinstance(loader, _Loader):
            return self._learn_compiled(name, loader)
        stamp = _stamp(loader.path)
        source = loader.get_data(loader.path)
        if stamp is None:
            return None
        package = os.path.basename(loader.path).startswith("__init__.")
        found = Module(name=name, path=loader.path, package=package, stamp=stamp, source=source)
        return self._known.setdefault(name, self._settle(found))

    def _learn_compiled(self, name: str, loader: _Sourceless | _Zip) -> Module | None:
        path = loader.archive if isinstance(loader, _Zip) else loader.path
        stamp, code = _stamp(path), loader.found(name)
        if stamp is None or code is None:
            return None
        found = Module(
            name=name,
            path=path,
            package=loader.is_package(name),
            stamp=stamp,
            source=marshal.dumps(code),
            compiled=True,
            member=loader.get_filename(name) if isinstance(loader, _Zip) else "",
        )
        return self._known.setdefault(name, self._settle(found))

    def _ours(self, spec: importlib.machinery.ModuleSpec) -> bool:
        if spec.name.partition(".")[0] in self._named:
            return True
        return spec.origin is not None and not os.path.realpath(spec.origin).startswith(self._others)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of the user's own: the version that the worker began with."""

    def __init__(self, name: str, path: str, load: Callable[[str, _Kept], CodeType | None]) -> None:
        super().__init__(name, path)
        self._load = load

    def get_code(self, fullname: str) -> Any:
        return self._load(fullname, self) or super().get_code(fullname)


class _Sourceless(importlib.machinery.SourcelessFileLoader):
    """Likewise, a module of which there is a compiled file only."""

    def __init__(self, name: str, path: str, load: Callable[[str, _Kept], CodeType | None]) -> None:
        super().__init__(name, path)
        self._load = load

    def get_code(self, fullname: str) -> CodeType | None:
        return self._load(fullname, self) or self.found(fullname)

    def found(self, fullname: str) -> CodeType | None:
        """Return what lies on disk."""
        return super().get_code(fullname)


class _Zip(zipimport.zipimporter):
    """Likewise, a module in an archive."""

    def __init__(self, path: str, load: Callable[[str, _Kept], CodeType | None]) -> None:
        super().__init__(path)
        self._load = load

    def get_code(self, fullname: str) -> CodeType:
        code = self._load(fullname, self)
        return self.found(fullname) if code is None else code

    def found(self, fullname: str) -> CodeType:
        """Return what lies in the archive."""
        return super().get_code(fullname)


_Kept: TypeAlias = _Loader | _Sourceless | _Zip
