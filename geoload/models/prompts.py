"""Questions for vision-language models, by name."""

from __future__ import annotations

_JSON = '{"latitude": <degrees>, "longitude": <degrees>}'
# "plain" is ours. The others are in the style of papers, in other words than theirs.
PROMPTS = {
    "plain": (
        "Where was this photo taken? Estimate the latitude and longitude in decimal degrees, also "
        f"if you are not sure. Answer with JSON only: {_JSON}"
    ),
    # Jay et al., 2025, arXiv:2502.14412: the model is an expert of GeoGuessr, reasons step by step
    # and gives its best guess as JSON with coordinates, city and country
    "jay2025": (
        "You are one of the best GeoGuessr players in the world and are known for naming the place "
        "of a picture from what is visible in it. Look closely at this picture. Reason step by "
        "step from landmarks, plants, signs and other clues to the most likely place, as precisely "
        "as you can. If the clues are not sufficient, guess. End your answer with JSON: "
        '{"lat": <degrees>, "long": <degrees>, "city": <name>, "country": <name>}'
    ),
    # Liu et al., 2024, arXiv:2408.09474: a chain of thought over the clues that people use, such as
    # vehicles, architecture, landscape and culture
    "liu2024": (
        "Find out where this photo was taken, as an experienced player of geography games would. "
        "Describe in turn what these clues tell: vehicles and the side of the road they drive on; "
        "architecture and streets; landscape, vegetation and light; language, signs, clothes and "
        "other signs of culture. Say which regions agree with all of the clues and choose the most "
        f"likely place. Then give your final answer as JSON: {_JSON}"
    ),
    # Song et al., 2025, arXiv:2502.13759: a chain of thought in several steps, from coarse to fine
    "song2025": (
        "Answer these questions about the photo one after the other, each with what you see that "
        "supports it. 1. On which continent and in which climate was it taken? 2. Which country "
        "do the people, the language and the customs suggest? 3. Which part of the country do the "
        "terrain and the buildings suggest? 4. Which city or place do landmarks and signs suggest? "
        f"5. What are its coordinates? Give the answer to question 5 as JSON: {_JSON}"
    ),
}


def find_prompt(prompt: str) -> str:
    """Return the prompt of this name, or a sentence as it is."""
    if " " not in prompt and prompt not in PROMPTS:
        raise ValueError(f"prompt: {prompt!r} is none of {', '.join(PROMPTS)}, and no sentence")
    return PROMPTS.get(prompt, prompt)
