"""The digits and their answers, as text for a terminal and as a picture for people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from espdl.demo.pipeline import Answers, DemoResult
from espdl.wording import kilobytes

SHADES = " ░▒▓█"
PER_ROW = 5
SHOWN_MISTAKES = 5

BACKGROUND, CARD, INK, FAINT, GOOD, BAD = "#f4f5f7", "#ffffff", "#1c2430", "#768091", "#1f8a5b", "#c8402f"
MARGIN, CARD_WIDTH, CARD_HEIGHT, GAP, DIGIT = 32, 176, 236, 16, 128


def text_drawing(answers: Answers) -> str:
    """One image of each class with the integer network's answer, five beside each other, two characters a pixel."""
    lines = []
    indices = answers.examples()
    for start in range(0, len(indices), PER_ROW):
        row = indices[start : start + PER_ROW]
        drawn = [_text_digit(answers.test.images[index, 0]) for index in row]
        lines += ["  ".join(parts).rstrip() for parts in zip(*drawn, strict=True)]
        lines += ["  ".join(f"{_caption(answers, index):<16}" for index in row).rstrip(), ""]
    return "\n".join(lines)


def _text_digit(image: NDArray[np.float32]) -> list[str]:
    levels = np.minimum((image * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(SHADES[level] * 2 for level in row) for row in levels]


def _caption(answers: Answers, index: int) -> str:
    answer, truth = int(answers.int8_classes[index]), int(answers.test.labels[index])
    percent = 100 * float(answers.int8_probabilities[index, answer])
    return f"{answer} ({percent:.0f} %)" + ("" if answer == truth else f", is {truth}")


def save_picture(path: Path, result: DemoResult, answers: Answers) -> None:
    """A PNG with the figures, one image of each class with the answer's probabilities, and up to five mistakes."""
    rows = [answers.examples()[:PER_ROW], answers.examples()[PER_ROW:]]
    mistakes = answers.mistakes()[:SHOWN_MISTAKES]
    width = 2 * MARGIN + PER_ROW * CARD_WIDTH + (PER_ROW - 1) * GAP
    header, caption = 120, 48
    height = header + len(rows) * (CARD_HEIGHT + GAP) + ((caption + CARD_HEIGHT + GAP) if mistakes else 0) + MARGIN - GAP
    picture = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 24), f"Handwritten digits, int8 on {result.target}", INK, _font(30))
    draw.text((MARGIN, 68), _summary(result), FAINT, _font(18))
    top = header
    for row in rows:
        _draw_row(picture, draw, answers, row, top)
        top += CARD_HEIGHT + GAP
    if mistakes:
        total = len(answers.mistakes())
        text = f"Read wrongly: {total} of {len(answers.test)}" + (
            f", {len(mistakes)} of them shown" if total > len(mistakes) else ""
        )
        draw.text((MARGIN, top + 12), text, INK, _font(20))
        _draw_row(picture, draw, answers, mistakes, top + caption)
    picture.save(path, optimize=True)


def _summary(result: DemoResult) -> str:
    return (
        f"{result.test_images} held-out images: float {result.float_accuracy:.1%}, int8 {result.int8_accuracy:.1%}, "
        f"same answer {result.agreement:.1%}.  File {kilobytes(result.espdl_bytes)}."
    )


def _draw_row(picture: Image.Image, draw: ImageDraw.ImageDraw, answers: Answers, indices: list[int], top: int) -> None:
    for position, index in enumerate(indices):
        _draw_card(picture, draw, answers, index, MARGIN + position * (CARD_WIDTH + GAP), top)


def _draw_card(picture: Image.Image, draw: ImageDraw.ImageDraw, answers: Answers, index: int, left: int, top: int) -> None:
    answer, truth = int(answers.int8_classes[index]), int(answers.test.labels[index])
    probabilities = answers.int8_probabilities[index]
    colour = GOOD if answer == truth else BAD
    draw.rounded_rectangle((left, top, left + CARD_WIDTH, top + CARD_HEIGHT), 10, CARD)
    pixels = np.round(255 * (1 - answers.test.images[index, 0])).astype(np.uint8)
    digit = Image.fromarray(pixels).resize((DIGIT, DIGIT), Image.Resampling.NEAREST)
    picture.paste(digit.convert("RGB"), (left + (CARD_WIDTH - DIGIT) // 2, top + 12))
    label = f"{answer}" if answer == truth else f"{answer}, is {truth}"
    draw.text((left + 24, top + DIGIT + 20), label, colour, _font(28))
    percent = f"{100 * float(probabilities[answer]):.0f} %"
    draw.text((left + CARD_WIDTH - 24, top + DIGIT + 32), percent, FAINT, _font(16), anchor="ra")
    floor, step = top + CARD_HEIGHT - 22, 13
    for digit_class, probability in enumerate(probabilities):
        x = left + 24 + digit_class * step
        bar = max(1, round(30 * float(probability)))
        draw.rectangle((x, floor - bar, x + step - 4, floor), colour if digit_class == answer else "#c9ced6")
        draw.text((x + (step - 4) / 2, floor + 3), str(digit_class), FAINT, _font(10), anchor="ma")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
