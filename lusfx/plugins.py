"""Finds, loads and checks plugins, one by one: a broken one never breaks another.

Built-in readers, encoders and heads are plugins too, registered by the same hooks. Nothing here runs for
``lusfx --help``.
"""

from __future__ import annotations

import difflib
import hashlib
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
from lusfx.config import user_directory
from lusfx.contracts import (
    API_VERSION,
    EncoderRecipe,
    EncoderSpec,
    HeadSpec,
    Plugin,
    Reader,
    Task,
    check_encoder,
    check_head,
    check_reader,
    check_task,
    gate_circle,
)
from lusfx.durable import make_directory, write_whole
from lusfx.errors import LusfxError, PluginError, UsageError
from lusfx.foreign_code import ForeignCodeError, call_foreign
from lusfx.messages import SHORT_DIGITS, one_line
from lusfx.version import __version__

BUILT_IN = ("lusfx.readers", "lusfx.encoders", "lusfx.heads")
OWN_DISTRIBUTION = f"lusfx {__version__}"
UNKNOWN_DISTRIBUTION = "unknown distribution"
HAND_OVERS = "hand-overs"
MOST_SAID = 500
"""Characters of a plugin's error that are told."""

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
        return sorted(self._items.keys() - self.clashes.keys())

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
        names = [f"{known}/..." if getattr(self._items[known], "family", False) else known for known in self.names()]
        near = difflib.get_close_matches(name, self.names())
        meant = f". Did you mean {' or '.join(near)}?" if near else ""
        known = ", ".join(names) or "none"
        broken = "".join(f"\n  plugin '{p.name}' ({p.distribution}) was left out: {p.error}" for p in failures)
        raise UsageError(f"unknown {self.kind} '{name}'; known: {known}{meant}{broken}")


@dataclass
class Registry:
    """All that the plugins of this environment provide, and what became of each plugin."""

    manager: pluggy.PluginManager
    tasks: Catalogue[Task] = field(default_factory=lambda: Catalogue("task"))
    encoders: Catalogue[EncoderSpec] = field(default_factory=lambda: Catalogue("encoder"))
    recipes: Catalogue[EncoderRecipe] = field(default_factory=lambda: Catalogue("encoder recipe"))
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

    def recipe(self, name: str) -> EncoderRecipe:
        return self.recipes.get(name, self.failures)

    def encoder(self, name: str) -> EncoderSpec:
        """The spec of a name, or of the family before its first slash."""
        family = name.partition("/")[0]
        if family != name and family in self.encoders.names() and self.encoders.get(family).family:
            return self.encoders.get(family)
        return self.encoders.get(name, self.failures)

    def resolve_weights(self, encoder: str) -> Path | None:
        """Ask the plugins where an encoder's weights lie on this machine.

        :raises PluginError: if one fails: a hospital's mirror that is down must not send anybody to a hub unasked.
        """
        for impl in reversed(self.manager.hook.lusfx_resolve_weights.get_hookimpls()):
            found = _call("lusfx_resolve_weights", impl, {"encoder": encoder})
            if isinstance(found, Path):
                return found
            if found is not None:
                raise PluginError(
                    f"plugin '{impl.plugin_name}' answered lusfx_resolve_weights with a {type(found).__name__}, "
                    "not a Path"
                )
        return None

    def scores_written(self, tables: Sequence[Path], models: Sequence[str]) -> list[str]:
        """Tell every plugin; returns what went wrong, since the table is written whatever they do.

        What a plugin says with one of lusfx's own errors is told, since those name no patient. Of any other exception the words
        go to a file of the user directory that only its owner can read, and the message says which.

        :param tables: all that were written, the score table first.
        :param models: names of those that were asked.
        """
        arguments = {"scores": tables[0], "tables": tuple(tables), "models": tuple(models)}
        problems = []
        for impl in self.manager.hook.lusfx_scores_written.get_hookimpls():
            try:
                _call("lusfx_scores_written", impl, arguments)
            except PluginError as error:
                problems.append(f"{error}{_words_of(error.__cause__)}")
        return problems


def _words_of(cause: BaseException | None) -> str:
    """What an exception of a plugin says, or where that was written down."""
    if cause is None:
        return ""
    if isinstance(cause, LusfxError):
        return f": {_in_one_line(cause).removeprefix(type(cause).__name__ + ': ')}"
    words = _in_one_line(cause)
    name = f"{hashlib.sha256(words.encode()).hexdigest()[:SHORT_DIGITS]}.txt"
    try:
        make_directory(user_directory() / HAND_OVERS)
        write_whole(user_directory() / HAND_OVERS / name, f"{words}\n".encode())
    except OSError:
        return ""
    return f" (what it says may name a patient, and is in {HAND_OVERS}/{name} below $LUSFX_HOME or ~/.lusfx)"


def _call(hook: str, impl: pluggy.HookImpl, arguments: Mapping[str, object]) -> object:
    """Call one plugin's hook.

    :raises PluginError: whatever it raises (:mod:`lusfx.foreign_code`); its message is left out, since it may name a path.
    """
    try:
        return call_foreign(lambda: impl.function(*[arguments[name] for name in impl.argnames]))
    except ForeignCodeError as error:
        raise PluginError(f"plugin '{impl.plugin_name}' failed on {hook}: {error}") from error.cause


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
        _admit(registry, entry.name, _distribution_of(entry), entry.load)
    return registry


def _distribution_of(entry: EntryPoint) -> str:
    try:
        return f"{entry.dist.name} {entry.dist.version}" if entry.dist else UNKNOWN_DISTRIBUTION
    except Exception:  # its metadata are damaged
        return UNKNOWN_DISTRIBUTION


def _admit(
    registry: Registry, name: str, distribution: str, load: Callable[[], Any], *, built_in: bool = False
) -> None:
    """Load one plugin, check it whole, and only then let it register anything. Whatever it raises leaves it out alone."""
    try:
        provides = call_foreign(lambda: _register(registry, name, distribution, load))
    except ForeignCodeError as error:
        if built_in:
            raise error.cause from None
        registry.plugins.append(Plugin(name, distribution, error=_in_one_line(error.cause)))
    else:
        registry.plugins.append(Plugin(name, distribution, provides=tuple(provides)))


def _in_one_line(error: BaseException) -> str:
    """What an error says, whatever it says it with."""
    try:
        text = one_line(" ".join(str(error).split()))[:MOST_SAID]
    except BaseException:  # its own __str__ may be broken, too
        text = "(no message)"
    if isinstance(error, PluginError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _register(registry: Registry, name: str, distribution: str, load: Callable[[], Any]) -> list[str]:
    plugin = load()
    version = getattr(plugin, "LUSFX_API_VERSION", None)
    if distribution != OWN_DISTRIBUTION and version != API_VERSION:
        stated = "states no LUSFX_API_VERSION" if version is None else f"was written for API version {version!r}"
        raise PluginError(f"it {stated}; this lusfx has API version {API_VERSION}")
    if registry.manager.has_plugin(name):  # two distributions may call their entry points alike
        name = f"{name} of {distribution}"
    try:
        try:
            registry.manager.register(plugin, name=name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(str(error)) from None
        return _collect(registry, plugin, distribution)
    except BaseException:
        _withdraw(registry.manager, name)
        raise


def _withdraw(manager: pluggy.PluginManager, name: str) -> None:
    if manager.has_plugin(name):
        manager.unregister(name=name)


def _collect(registry: Registry, plugin: Any, distribution: str) -> list[str]:
    """Check a registered plugin's hooks and everything they give, then add all of it or nothing."""
    callers = registry.manager.get_hookcallers(plugin) or []
    _check_hooks(plugin, callers)
    functions = {
        caller.name: impl.function for caller in callers for impl in caller.get_hookimpls() if impl.plugin is plugin
    }

    def given(hook: str, kind: type[T], check: Callable[[T], None]) -> Sequence[T]:
        if hook not in functions:
            return ()
        items: Any = functions[hook]()
        if not isinstance(items, (list, tuple)):
            raise PluginError(f"{hook} must return a list of {kind.__name__}, and returned a {type(items).__name__}")
        for item in items:
            if not isinstance(item, kind):
                found = f"the class {item.__name__}" if isinstance(item, type) else f"a {type(item).__name__}"
                raise PluginError(f"{hook} must return a list of {kind.__name__} instances; in it is {found}")
            check(item)
        return items

    tasks = given("lusfx_register_tasks", Task, check_task)
    additions: list[tuple[Catalogue[Any], str, Any]] = [(registry.tasks, task.name, task) for task in tasks]
    for encoder in given("lusfx_register_encoders", EncoderSpec, check_encoder):
        additions.append((registry.encoders, encoder.name, encoder))
    for recipe in given("lusfx_register_encoder_recipes", EncoderRecipe, lambda checked_when_it_was_made: None):
        additions.append((registry.recipes, recipe.name, recipe))
    for head in given("lusfx_register_heads", HeadSpec, check_head):  # type: ignore[type-abstract]
        additions.append((registry.heads, head.name, head))
    for reader in given("lusfx_register_readers", Reader, check_reader):  # type: ignore[type-abstract]
        additions += [(registry.readers, suffix, reader) for suffix in reader.suffixes]
    names = [(catalogue.kind, name) for catalogue, name, _ in additions]
    if len(set(names)) != len(names):
        raise PluginError("it registers one name twice")
    for catalogue, name, _ in additions:
        if distribution != OWN_DISTRIBUTION and name in catalogue.names() and catalogue.owner(name) == OWN_DISTRIBUTION:
            raise PluginError(f"the {catalogue.kind} '{name}' is built into lusfx; give this one another name")
    _check_circle(registry.tasks, tasks)
    for catalogue, name, item in additions:
        catalogue.add(name, item, distribution)
    return [f"{kind}: {name}" for kind, name in names]


def _check_hooks(plugin: Any, callers: Sequence[pluggy.HookCaller]) -> None:
    misspelt = [caller.name for caller in callers if not caller.has_spec()]
    if misspelt:
        raise PluginError(f"there is no hook named {', '.join(misspelt)}")
    implemented = {caller.name for caller in callers}
    for hook in vars(hookspecs):
        if hook.startswith("lusfx_") and hook not in implemented and inspect.isfunction(getattr(plugin, hook, None)):
            raise PluginError(f"its function {hook} is not marked with @hookimpl, so it would never be called")
    if not callers:
        raise PluginError("it implements no hook")


def _check_circle(known: Catalogue[Task], tasks: Sequence[Task]) -> None:
    """A plugin whose tasks close a circle of gates is left out; the tasks that were there before it can be used."""
    circle = gate_circle([*known.values(), *tasks])
    if circle:
        own = {task.name for task in tasks}
        named = [f"'{name}'{'' if name in own else f' ({known.owner(name)})'}" for name in circle]
        raise PluginError(f"its tasks require each other in a circle: {' requires '.join([*named, named[0]])}")
