"""Finds, loads and checks plugins, one by one: a broken one never breaks another.

Built-in readers, encoders and heads are plugins too, registered by the same hooks. Nothing here runs for
``lusfx --help``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import pluggy

from lusfx import hookspecs
from lusfx.contracts import API_VERSION, EncoderSpec, HeadSpec, Plugin, Reader, Task
from lusfx.errors import PluginError, UsageError
from lusfx.version import __version__

BUILT_IN = ("lusfx.readers", "lusfx.encoders", "lusfx.heads")
OWN_DISTRIBUTION = f"lusfx {__version__}"

T = TypeVar("T")


class Catalogue(Generic[T]):
    """What the plugins registered of one kind, by name.

    :param kind: the kind's noun, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}
        self._owners: dict[str, list[str]] = {}

    def add(self, name: str, item: T, owner: str) -> None:
        """Register; a name that two plugins claim is nobody's."""
        owners = self._owners.setdefault(name, [])
        owners.append(owner)
        self._items[name] = item

    @property
    def clashes(self) -> dict[str, list[str]]:
        """Names that several plugins claim, with those plugins' distributions."""
        return {name: owners for name, owners in self._owners.items() if len(owners) > 1}

    def names(self) -> list[str]:
        """Names that can be used, sorted."""
        return sorted(name for name in self._items if name not in self.clashes)

    def values(self) -> list[T]:
        """What can be used, in order of name."""
        return [self._items[name] for name in self.names()]

    def as_mapping(self) -> Mapping[str, T]:
        """What can be used, by name."""
        return {name: self._items[name] for name in self.names()}

    def owner(self, name: str) -> str:
        """The distribution that a name comes from."""
        return self._owners[name][0]

    def get(self, name: str, failures: Iterable[Plugin] = ()) -> T:
        """Look a name up.

        :raises PluginError: if several plugins claim it.
        :raises UsageError: if none does; the message lists what there is and which plugins failed to load.
        """
        if name in self.clashes:
            raise PluginError(
                f"the {self.kind} '{name}' is claimed by {' and by '.join(self.clashes[name])}. Remove one."
            )
        if name in self._items:
            return self._items[name]
        known = ", ".join(self.names()) or "none"
        broken = "".join(f"\n  plugin '{p.name}' ({p.distribution}) was left out: {p.error}" for p in failures)
        raise UsageError(f"unknown {self.kind} '{name}'; known: {known}{broken}")


@dataclass
class Registry:
    """All that the plugins of this environment provide, and what became of each plugin."""

    manager: pluggy.PluginManager
    tasks: Catalogue[Task] = field(default_factory=lambda: Catalogue("task"))
    encoders: Catalogue[EncoderSpec] = field(default_factory=lambda: Catalogue("encoder"))
    heads: Catalogue[HeadSpec] = field(default_factory=lambda: Catalogue("head"))
    readers: Catalogue[Reader] = field(default_factory=lambda: Catalogue("reader for"))
    plugins: list[Plugin] = field(default_factory=list)

    @property
    def failures(self) -> list[Plugin]:
        """Plugins that could not be used."""
        return [plugin for plugin in self.plugins if plugin.error is not None]

    def task(self, name: str) -> Task:
        return self.tasks.get(name, self.failures)

    def head(self, name: str) -> HeadSpec:
        return self.heads.get(name, self.failures)

    def encoder(self, name: str) -> EncoderSpec:
        """The spec of a name, or of the family before its first slash."""
        family = name.partition("/")[0]
        if family != name and family in self.encoders.names() and self.encoders.get(family).family:
            return self.encoders.get(family)
        return self.encoders.get(name, self.failures)

    def resolve_weights(self, encoder: str) -> Path | None:
        """Ask the plugins where an encoder's weights lie on this machine."""
        try:
            found = self.manager.hook.lusfx_resolve_weights(encoder=encoder)
        except Exception as error:
            raise PluginError(
                f"a plugin's lusfx_resolve_weights failed for '{encoder}': {type(error).__name__}"
            ) from error
        if found is not None and not isinstance(found, Path):
            raise PluginError(f"a plugin's lusfx_resolve_weights gave a {type(found).__name__}, not a Path")
        return found

    def scores_written(self, scores: Path) -> list[str]:
        """Tell every plugin; returns what went wrong, since the table is written whatever they do."""
        problems = []
        for impl in self.manager.hook.lusfx_scores_written.get_hookimpls():
            try:
                impl.function(*[{"scores": scores}[name] for name in impl.argnames])
            except Exception as error:
                problems.append(f"plugin '{impl.plugin_name}' failed on lusfx_scores_written: {type(error).__name__}")
        return problems


@cache
def load_registry() -> Registry:
    """Load every plugin of this environment once."""
    return build_registry(entry_points(group=hookspecs.PROJECT))


def build_registry(found: Iterable[EntryPoint]) -> Registry:
    """Load the built-ins and the given entry points; what fails is kept as a failure and harms nothing else."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    for name in BUILT_IN:
        _admit(registry, name, OWN_DISTRIBUTION, partial(importlib.import_module, name), built_in=True)
    for entry in sorted(found, key=lambda entry: entry.name):
        distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown distribution"
        _admit(registry, entry.name, distribution, entry.load)
    return registry


def _admit(
    registry: Registry, name: str, distribution: str, load: Callable[[], Any], *, built_in: bool = False
) -> None:
    """Load one plugin, check it whole, and only then let it register anything."""
    try:
        provides = _register(registry, name, distribution, load)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise SystemExit on import; it must not end the program
        if built_in:
            raise
        text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        registry.plugins.append(Plugin(name, distribution, error=text))
    else:
        registry.plugins.append(Plugin(name, distribution, provides=tuple(provides)))


def _register(registry: Registry, name: str, distribution: str, load: Callable[[], Any]) -> list[str]:
    plugin = load()
    version = getattr(plugin, "LUSFX_API_VERSION", None)
    if distribution != OWN_DISTRIBUTION and version != API_VERSION:
        stated = "states no LUSFX_API_VERSION" if version is None else f"was written for API version {version}"
        raise PluginError(f"it {stated}; this lusfx has API version {API_VERSION}")
    try:
        registry.manager.register(plugin, name=name)
    except (pluggy.PluginValidationError, ValueError) as error:
        if registry.manager.has_plugin(name):
            registry.manager.unregister(name=name)
        raise PluginError(" ".join(str(error).split())) from None
    try:
        return _collect(registry, plugin, distribution)
    except BaseException:
        registry.manager.unregister(plugin)
        raise


def _collect(registry: Registry, plugin: Any, distribution: str) -> list[str]:
    """Check a registered plugin's hooks and everything they give, then add all of it or nothing."""
    callers = registry.manager.get_hookcallers(plugin) or []
    misspelt = [caller.name for caller in callers if not caller.has_spec()]
    if misspelt:
        raise PluginError(f"there is no hook named {', '.join(misspelt)}")
    if not callers:
        raise PluginError("it implements no hook")
    implemented = {caller.name for caller in callers}

    def given(hook: str, kind: type[T]) -> Sequence[T]:
        if hook not in implemented:
            return ()
        items = getattr(plugin, hook)()
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, kind) for item in items):
            raise PluginError(f"{hook} must return a list of {kind.__name__}")
        return items

    additions: list[tuple[Catalogue[Any], str, Any]] = []
    for task in given("lusfx_register_tasks", Task):
        check_task(task)
        additions.append((registry.tasks, task.name, task))
    for encoder in given("lusfx_register_encoders", EncoderSpec):
        additions.append((registry.encoders, encoder.name, encoder))
    for head in given("lusfx_register_heads", HeadSpec):  # type: ignore[type-abstract]
        additions.append((registry.heads, head.name, head))
    for reader in given("lusfx_register_readers", Reader):  # type: ignore[type-abstract]
        additions += [(registry.readers, suffix, reader) for suffix in reader.suffixes]
    names = [(catalogue.kind, name) for catalogue, name, _ in additions]
    if len(set(names)) != len(names):
        raise PluginError("it registers one name twice")
    for catalogue, name, _ in additions:
        if distribution != OWN_DISTRIBUTION and name in catalogue.names() and catalogue.owner(name) == OWN_DISTRIBUTION:
            raise PluginError(f"the {catalogue.kind} '{name}' is built into lusfx; give this one another name")
    for catalogue, name, item in additions:
        catalogue.add(name, item, distribution)
    return [f"{kind}: {name}" for kind, name in names]


def check_task(task: Task) -> None:
    """Check a task's attributes before anything relies on them.

    :raises PluginError: naming the attribute and what it must be.
    """

    def require(holds: bool, attribute: str, must: str) -> None:
        if not holds:
            raise PluginError(f"task {type(task).__name__}: '{attribute}' must be {must}")

    name = getattr(task, "name", None)
    require(
        isinstance(name, str) and name != "" and name.replace("-", "").isalnum() and name == name.lower(),
        "name",
        "lower-case letters, digits and hyphens",
    )
    require(isinstance(task.version, int) and task.version >= 1, "version", "a whole number from 1")
    require(task.unit == "clip", "unit", "'clip'")
    require(
        len(task.classes) == 2 and len(set(task.classes)) == 2 and all(isinstance(c, str) for c in task.classes),
        "classes",
        "two different names",
    )
    require(isinstance(getattr(task, "label_column", None), str), "label_column", "the name of a column")
    require(task.pooling in ("mean", "max", "mean+std"), "pooling", "'mean', 'max' or 'mean+std'")
    require(len(task.operating_points) > 0, "operating_points", "at least one rule by name")
    require(len(inspect.signature(task.label).parameters) == 1, "label", "a method of one cell")
