"""The score of codes that are still being spoken is CTC's own, however they come in."""

from __future__ import annotations

import torch

from omnitts.models.reading.spelling_score import SpellingScore
from tests.models.reading.random_reader import random_reader

LABELS = (1, 2, 2, 3)


def test_the_score_is_the_chance_of_the_labels() -> None:
    """However the codes come in, and whatever stands behind the end."""
    reader = random_reader()
    codes = torch.randint(64, (3, 24), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([20, 16, 12])
    score = SpellingScore(reader, [LABELS, (4, 1), (2,)])
    read = reader.read(codes).log_softmax(-1)
    for until in (4, 8, 9, 17, 24):
        score.read_on(codes[:, :until], lengths)
    labels = torch.tensor([*LABELS, 4, 1, 2])
    losses = torch.nn.functional.ctc_loss(
        read.transpose(0, 1), labels, lengths, torch.tensor([4, 2, 1]), reduction="none"
    )
    worth = 0.8 * torch.tensor([4.0, 2.0, 1.0])
    assert torch.allclose(score.scores(torch.ones(3, dtype=torch.bool)), worth - losses, atol=1e-3)
    before = score.scores(torch.zeros(3, dtype=torch.bool))
    score.reorder(torch.tensor([0, 1, 2]))
    assert torch.equal(score.scores(torch.zeros(3, dtype=torch.bool)), before)


def test_saying_nothing_is_worth_less_than_saying_it_well() -> None:
    """An end before the text is over loses to every sequence that goes on."""
    codes = torch.randint(64, (2, 20), generator=torch.Generator().manual_seed(1))
    score = SpellingScore(random_reader(), [LABELS * 6, LABELS * 6])  # more labels than codes: nobody can be through
    lengths, has_ended = torch.tensor([16, 20]), torch.tensor([True, False])
    score.read_on(codes[:, :16], lengths)
    waiting = score.scores(has_ended)
    assert torch.equal(waiting, score.scores(torch.tensor([False, False]))), "the last codes are not read yet"
    score.read_on(codes, lengths)
    ended = score.scores(has_ended)
    assert ended[0] < ended[1] - 100
