"""``MODEL_CARD.md`` of an encoder that lusfx trained: data, licence, method, figures, limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lusfx.report import markdown_table


def encoder_model_card(
    name: str,
    what: Sequence[str],
    *,
    data: str,
    licence: str,
    method: str,
    settings: Iterable[tuple[str, object]],
    figures: Sequence[str],
    limits: Sequence[str],
) -> str:
    """The card as Markdown; its texts are paragraphs.

    :param what: the encoder is, and what is wrong with it if anything.
    :param licence: who states it, and what it is.
    :param settings: of the training, by name.
    """
    blocks = [
        f"# {name}",
        *what,
        "## Data",
        data,
        "## Licence",
        f"As stated by {licence}. Whether the licences of the clips and of the initial weights allow it is theirs to say.",
        "## Method",
        method,
        markdown_table(("setting", "value"), [(setting, str(value)) for setting, value in settings]),
        "## Figures",
        *figures,
        "## Limits",
        "\n".join(f"* {limit}" for limit in limits),
        "Research use only: not a medical device.",
    ]
    return "\n\n".join(blocks) + "\n"
