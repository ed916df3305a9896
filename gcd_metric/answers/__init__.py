"""Text answers of models to coordinates: what was said, and what was done with it.

Which pair counts: of several pairs the one that the text marks as its final answer, else the pair
of the last complete JSON object, else the one marked as a guess, else the last. Text in `<think>`
and the like is no answer, also if the tag was never closed.
"""

from .parsing import KINDS, Answer, Answers, parse_answer, parse_answers

__all__ = ["KINDS", "Answer", "Answers", "parse_answer", "parse_answers"]
