"""What a card says of an imported encoder, and what it leaves unsaid of all others."""

from __future__ import annotations

import json

import pytest

from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, IMAGENET_ENCODER
from lusfx.encoders.card import EncoderCard, parse_card, read_card
from lusfx.errors import EncoderError


@pytest.mark.parametrize("name", [DEFAULT_ENCODER, IMAGENET_ENCODER])
def test_cards_of_before_are_written_as_they_were(name: str) -> None:
    """An earlier lusfx reads them, and their identities keep their digests."""
    card = read_card(BUNDLED / name)
    written = json.loads(card.model_dump_json())
    assert not {"training_sets", "origin"} & written.keys()
    assert "input_size" not in written["identity"]
    assert parse_card(card.model_dump_json().encode()) == card


def changed(**changes: object) -> bytes:
    written = json.loads(read_card(BUNDLED / DEFAULT_ENCODER).model_dump_json())
    for place, value in changes.items():
        part, _, field = place.rpartition("__")
        (written[part] if part else written)[field] = value
    return json.dumps(written).encode()


def test_what_an_encoder_has_seen_is_read_back() -> None:
    card = parse_card(changed(training_sets={"names": ["POCUS"], "complete": True}))
    assert card.training_sets is not None
    assert card.training_sets.names == ("POCUS",)
    assert EncoderCard.model_validate_json(card.model_dump_json()) == card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training_sets": ["POCUS"]}, "training_sets"),
        ({"origin": {"recipe": "x"}}, r"origin\.checkpoint_sha256"),
        ({"identity__pooling": "max"}, r"identity\.pooling"),
        ({"identity__input_size": 8}, r"identity\.input_size"),
    ],
)
def test_what_a_card_may_not_say(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        parse_card(changed(**changes))


def test_a_network_for_another_size_than_its_frames_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"identity.input_size must be preprocess.size"):
        parse_card(changed(identity__input_size=48))
