"""The spelling loss hears drawn codes as the reader does, teaches those that spell the words, and knows the rows."""

from __future__ import annotations

import math

import pytest
import torch

from omnitts.models.reading.code_reader import CodeReader
from omnitts.models.reading.labels import unblank
from omnitts.models.reading.text_reader import READER, TextReader
from omnitts.training.rows import Example
from omnitts.training.run_folder import RunFolder
from omnitts.training.spelling_loss import SpellingLoss, Stretch, Stretches, drawn, stretches

K = 4
CODES = 64  # of the toy tokenizer
PAD = CODES + 1


@pytest.fixture
def reader(toy_run: RunFolder) -> CodeReader:
    return TextReader.open(toy_run.root / "tokenizer" / READER).codes


def sure_of(codes: torch.Tensor) -> torch.Tensor:
    """Logits (N, K, V) that leave no doubt about codes (N, K)."""
    return 50.0 * torch.nn.functional.one_hot(codes, CODES + 2).float()


def test_it_hears_what_the_reader_reads(reader: CodeReader) -> None:
    codes = torch.randint(CODES, (9, K), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        rounded = reader.quantiser.rounded_of(codes.view(1, -1))
        read = reader(rounded, torch.ones(1, codes.numel(), 1)).log_softmax(-1)
    says = tuple(unblank(read[0].argmax(-1).tolist())) or (1,)
    loss = SpellingLoss(reader)
    for draws in (False, True):
        judged = loss(sure_of(codes), Stretches.of([Stretch(torch.arange(9), says)]), draws=draws)
        lengths = torch.tensor([codes.numel()]), torch.tensor([len(says)])
        whole = torch.nn.functional.ctc_loss(read.transpose(0, 1), torch.tensor([says]), *lengths, reduction="sum")
        assert float(judged["spelling"]) == pytest.approx(float(whole) / len(says), rel=1e-4)
    assert float(
        loss(sure_of(codes), Stretches.of([Stretch(torch.arange(9), says)]), draws=False)["misread"]
    ) <= 1 / len(says)


def test_stretches_do_not_hear_each_other(reader: CodeReader) -> None:
    codes = torch.randint(CODES, (11, K), generator=torch.Generator().manual_seed(4))
    loss = SpellingLoss(reader)
    one, two = Stretch(torch.arange(4), (1, 2)), Stretch(torch.arange(4, 11), (3, 1, 2))
    apart = [loss(sure_of(codes), Stretches.of([own]), draws=False) for own in (one, two)]
    both = loss(sure_of(codes), Stretches.of([one, two]), draws=False)
    for name in ("spelling", "misread"):
        assert float(both[name]) == pytest.approx((2 * float(apart[0][name]) + 3 * float(apart[1][name])) / 5, rel=1e-4)


def test_it_teaches_codes_that_spell(reader: CodeReader) -> None:
    torch.manual_seed(0)
    logits = torch.randn(8, K, CODES + 2, requires_grad=True)
    loss, wanted = SpellingLoss(reader), Stretches.of([Stretch(torch.arange(8), (1, 2, 3, 2))])
    optimiser = torch.optim.Adam([logits], lr=0.1)
    before = float(loss(logits.detach(), wanted, draws=False)["spelling"])
    for _ in range(60):
        optimiser.zero_grad()
        loss(logits, wanted, draws=True)["spelling"].backward()
        optimiser.step()
    assert float(loss(logits.detach(), wanted, draws=False)["spelling"]) < 0.7 * before
    assert all(weight.grad is None for weight in reader.parameters())


def test_codes_are_drawn_at_the_temperature_of_speaking() -> None:
    torch.manual_seed(1)
    scores = torch.tensor([0.0, 0.3 * math.log(3.0), -9.0]).expand(20_000, 3)
    share = torch.bincount(drawn(scores), minlength=3) / 20_000
    assert share.tolist() == pytest.approx([0.25, 0.75, 0.0], abs=0.015)


def test_reference_and_speech_spell_for_themselves() -> None:
    """Silent rows and ends are left out; what is not known is not asked."""
    pad, sound, end = [PAD] * K, [7] * K, [CODES] * K
    wanted = torch.tensor([sound, sound, end, pad, sound, end, pad, sound])
    known = torch.tensor([[False, True, True, True, True, True, True], [True, False, True, False, False, False, False]])
    rows = torch.zeros(8, 1 + K, dtype=torch.int64)
    said = torch.zeros(8, dtype=torch.int64)
    first = Example(rows, 4, said, ((5, 6), (8,)))
    second = Example(rows, 2, said, ((), (9,)))
    found = stretches([first, second], known, wanted, CODES)
    assert [(stretch.rows.tolist(), stretch.labels) for stretch in found] == [
        ([0, 1], (5, 6)),
        ([4], (8,)),
        ([7], (9,)),
    ]
