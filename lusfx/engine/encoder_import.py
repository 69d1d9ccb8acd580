"""A published checkpoint becomes an encoder directory, by a recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lusfx.backbone import FAMILY
from lusfx.config import FeatureSpec, PreprocessSpec
from lusfx.contracts import EncoderRecipe, parse_recipe
from lusfx.contracts.recipe import OWN_END, require_pooling, timm_layer
from lusfx.encoders.card import EncoderCard, Origin, TrainingSets
from lusfx.errors import EncoderError, MissingExtraError, UsageError
from lusfx.messages import short, system_reason
from lusfx.outputs import prepare_place
from lusfx.plain_file import read_plain_file
from lusfx.plugins import Registry, load_registry
from lusfx.shown import Shown

if TYPE_CHECKING:
    from lusfx.contracts.recipe import TokenPooling
    from lusfx.encoders.fit import Fitted

MAX_RECIPE_BYTES = 1 << 20
SUFFIX = ".toml"


@dataclass(frozen=True, slots=True, repr=False)
class ImportResult(Shown):
    """An encoder that was imported.

    :param directory: where it is.
    :param card: what it is.
    """

    directory: Path
    card: EncoderCard

    @property
    def origin(self) -> Origin:
        assert self.card.origin is not None
        return self.card.origin

    @property
    def fingerprint(self) -> str:
        """Of its features in float32."""
        return FeatureSpec(encoder=self.card.identity, preprocess=self.card.preprocess).fingerprint

    @property
    def warnings(self) -> Sequence[str]:
        said, origin = f"the licence ({self.card.licence}, read at {self.origin.licence_read_at})", self.origin
        known = "does not let" if origin.may_be_passed_on is False else "is not known to let"
        warnings = {
            f"{said} {known} the encoder be passed on: share neither it nor a task model that brings it along": (
                not origin.may_be_passed_on
            ),
            f"{said} allows no commercial use": origin.commercial_use is False,
        }
        return [warning for warning, holds in warnings.items() if holds]

    def summary(self) -> str:
        identity = self.card.identity
        pooled = "as the network ends" if identity.layer == OWN_END else f"{identity.layer}, {identity.pooling}"
        left = "; ".join(self.origin.dropped) or "nothing"
        return (
            f"{self.card.name}: {identity.architecture}, {self.card.preprocess.size} px, {pooled}, {identity.dim} values a "
            f"frame, fingerprint {short(self.fingerprint)}, licence {self.card.licence}; left out of the file: {left}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"directory": str(self.directory), "fingerprint": self.fingerprint} | self.card.model_dump(mode="json")


def import_encoder(
    recipe: str | Path,
    file: str | Path,
    out: str | Path,
    *,
    layer: str | None = None,
    pooling: TokenPooling | None = None,
    size: int | None = None,
    registry: Registry | None = None,
) -> ImportResult:
    """Make an encoder directory of a published checkpoint. Nothing is fetched, and nothing of the file is run.

    :param recipe: name of a recipe that a plugin brings, or a TOML file that holds one.
    :param file: the checkpoint, safetensors or of ``torch.save``.
    :param out: must not exist; it appears whole or not at all.
    :param layer: another layer than the recipe's: timm's name, or ``block-8`` for the eighth block.
    :param pooling: another pooling than the recipe's: ``map-mean``, ``tokens-mean`` or ``class-token``; ``own`` goes with the
        layer ``global-pool``.
    :param size: another side of the input in pixels.
    :raises UsageError: if there is no such recipe or file, or the directory exists.
    :raises EncoderError: if the file is damaged or hostile, does not fit the recipe, or the network cannot be converted.
    :raises MissingExtraError: without the extra ``timm``.
    """
    given = find_recipe(recipe, registry or load_registry())
    found = _changed(given, layer, pooling, size)
    source, directory = Path(file), Path(out)
    if not source.is_file():
        raise UsageError(f"there is no such file to import. {how_to_get(given)}")
    prepare_place("encoder", directory)
    if directory.exists() or directory.is_symlink():
        raise UsageError("where the encoder would go there is something already. Name another directory")
    try:
        import timm  # noqa: F401 - imported where it is used

        from lusfx.encoders.checkpoint import read_checkpoint
        from lusfx.encoders.fit import fit
    except ImportError:
        raise MissingExtraError("importing an encoder", "timm") from None
    checkpoint = read_checkpoint(source, found.checkpoint.under)
    known = found.checkpoint.sha256
    if known and checkpoint.sha256 not in known:
        raise EncoderError(
            f"the file is not the one that the recipe {given.name} was written for: its SHA-256 is {checkpoint.sha256}. "
            f"{how_to_get(given)}"
        )
    fitted = fit(checkpoint.tensors, found)
    return ImportResult(directory, _written(directory, found, fitted, given.name, checkpoint.sha256))


def find_recipe(recipe: str | Path, registry: Registry) -> EncoderRecipe:
    """The recipe of a name, or of a TOML file.

    :raises UsageError: if there is none, or the file is no recipe.
    """
    if not (isinstance(recipe, Path) or recipe.endswith(SUFFIX)):
        return registry.recipe(recipe)
    try:
        text = read_plain_file(Path(recipe), MAX_RECIPE_BYTES, follow_links=True).decode("utf-8")
    except UnicodeError:
        raise UsageError("the recipe is no text in UTF-8") from None
    except OSError as error:
        raise UsageError(f"the recipe cannot be read: {error.strerror or system_reason(error)}") from None
    return parse_recipe(text)


def how_to_get(recipe: EncoderRecipe) -> str:
    """Which file a recipe is for, and who has it."""
    source = recipe.checkpoint
    return (
        f"The recipe {recipe.name} is for {source.file}. Ask for it where its authors tell how to get it: "
        f"{source.repository}. lusfx downloads nothing"
    )


def _changed(recipe: EncoderRecipe, layer: str | None, pooling: TokenPooling | None, size: int | None) -> EncoderRecipe:
    """The recipe with another layer, pooling or size, and a name that says so."""
    layer = recipe.layer if layer is None else timm_layer(layer)
    pooling = pooling or ("own" if layer == OWN_END else recipe.pooling)
    size = recipe.size if size is None else size
    if not 16 <= size <= 1024:
        raise UsageError("size: frames have from 16 to 1024 pixels a side")
    try:
        require_pooling(layer, pooling)
    except ValueError as error:
        raise UsageError(str(error)) from None
    changes = {"layer": layer, "pooling": pooling, "size": size}
    words = [
        f"{value}px" if key == "size" else str(value) for key, value in changes.items() if value != getattr(recipe, key)
    ]
    return recipe.model_copy(update=changes | {"name": "-".join([recipe.name, *words])})


def _written(out: Path, recipe: EncoderRecipe, fitted: Fitted, recipe_name: str, sha256: str) -> EncoderCard:
    from lusfx.encoders.conversion import make_directory

    origin = Origin(
        recipe=recipe_name,
        checkpoint_sha256=sha256,
        licence_read_at=recipe.licence.read_at,
        may_be_passed_on=recipe.licence.may_be_passed_on,
        commercial_use=recipe.licence.commercial_use,
        citation=recipe.citation,
        dropped=fitted.dropped,
    )
    sets = recipe.training_sets
    return make_directory(
        out,
        name=recipe.name,
        architecture=f"{FAMILY}{recipe.architecture}",
        layer=recipe.layer,
        pooling=fitted.pooling,
        input_size=fitted.input_size,
        weights=fitted.weights,
        mean=recipe.mean,
        std=recipe.std,
        preprocess=PreprocessSpec(size=recipe.size),
        licence=recipe.licence.name,
        training_data=recipe.training_data,
        training_sets=None if sets is None else TrainingSets(names=sets, complete=recipe.training_sets_complete),
        source=f"{recipe.checkpoint.repository}, a file with SHA-256 {sha256}",
        origin=origin,
        model_card=_model_card(recipe, origin),
    )


def _model_card(recipe: EncoderRecipe, origin: Origin) -> str:
    words = {True: "yes", False: "no", None: "not known"}
    sets = "not known" if recipe.training_sets is None else ", ".join(recipe.training_sets) or "none"
    if recipe.training_sets is not None and not recipe.training_sets_complete:
        sets += " (and others: the list is not complete)"
    lines = [
        f"# {recipe.name}",
        recipe.summary,
        f"* Weights: {recipe.checkpoint.repository}, a file with SHA-256 {origin.checkpoint_sha256}",
        f"* Left out of the file: {'; '.join(origin.dropped) or 'nothing'}",
        f"* Licence: {recipe.licence.name}, read at {recipe.licence.read_at}; may be passed on: "
        f"{words[origin.may_be_passed_on]}; for commercial use: {words[origin.commercial_use]}",
        f"* Trained on: {recipe.training_data}",
        f"* Data sets by name: {sets}",
        f"* Cite: {recipe.citation}",
        *([f"* {recipe.remarks}"] if recipe.remarks else []),
        "* Imported by lusfx, which did not train it. For research; it is not a medical device.",
    ]
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:]) + "\n"
