"""What a command says: options as they are typed there."""

import pytest

from geoload.commands import one_line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("give its folder with data_dir=.", "give its folder with --data-dir."),
        ("leave them out with skip_broken=True.", "leave them out with --skip-broken."),
        ("data_dir='x y': nothing\n  there", "--data-dir 'x y': nothing there"),
        ("splits=['val']: there is test", "--splits ['val']: there is test"),
        (
            'type load_dataset("im2gps", data_dir="x").',
            'type load_dataset("im2gps", data_dir="x").',
        ),
        ("name it with views=, or metadata_dir=", "name it with views=, or metadata_dir="),
    ],
)
def test_options_are_named_as_they_are_typed(text, said):
    assert one_line(ValueError(text), ["data_dir", "skip_broken", "splits"]) == said
