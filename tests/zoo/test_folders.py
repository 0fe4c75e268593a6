"""A folder of one's own pictures: with or without classes, and what is said when it does not serve."""

import pytest
from PIL import Image

from lrp_explorer import zoo
from lrp_explorer.errors import DataError


@pytest.fixture
def put(tmp_path):
    """Put small pictures at these places and give the folder's name as a data set."""

    def put(*places: str) -> str:
        for number, place in enumerate(places):
            path = tmp_path / place
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (28, 28), number).save(path)
        return f"folder:{tmp_path}"

    return put


def test_images_directly_in_a_folder_are_unlabelled_and_sorted(put, tmp_path):
    name = put("b.png", "a.JPG", ".hidden.png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    data = zoo.load_dataset(name)
    assert [data.caption(index) for index in range(len(data))] == ["a.JPG", "b.png"]
    assert (data.labels, data.classes) == ([-1, -1], ())


def test_sub_folders_are_classes(put):
    data = zoo.load_dataset(put("cats/1.png", "dogs/2.png", "cats/3.png"), card=zoo.model_card("digits-mlp"))
    assert data.classes == ("cats", "dogs")
    assert data.labels == [0, 0, 1]
    assert [data.caption(index) for index in range(3)] == ["1.png", "3.png", "2.png"]
    assert [data.image(index).max() for index in range(3)] == [0, 2, 1]


def test_sub_folders_named_after_the_models_classes_have_its_labels(put):
    name = put("7/a.png", "3/b.png")
    data = zoo.load_dataset(name, card=zoo.model_card("digits-mlp"))
    assert (data.labels, data.classes) == ([3, 7], tuple("0123456789"))
    assert zoo.load_dataset(name).classes == ("3", "7")


def test_labels_need_no_decoding(put, tmp_path):
    name = put("7/a.png")
    (tmp_path / "7" / "b.png").write_bytes(b"no image")
    data = zoo.load_dataset(name, card=zoo.model_card("digits-mlp"))
    assert data.labels == [7, 7]
    with pytest.raises(DataError, match=r"b.png' cannot be decoded"):
        data[1]


def test_a_home_folder_is_understood(put, tmp_path, monkeypatch):
    put("pictures/a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(zoo.load_dataset("folder:~/pictures")) == 1


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"holds no images; expected files \(.png, .jpg.*sub-folder for each class"
    ) as caught:
        zoo.load_dataset(f"folder:{tmp_path}")
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder_and_a_file_are_refused(put, tmp_path):
    put("a.png")
    with pytest.raises(DataError, match=r"nowhere' does not exist; give a folder of images as 'folder:PATH'"):
        zoo.load_dataset(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match=r"a.png' is a file; give a folder"):
        zoo.load_dataset(f"folder:{tmp_path / 'a.png'}")


def test_images_both_with_and_without_a_class_are_refused(put):
    with pytest.raises(DataError, match=r"both directly \('a.png', …\) and in sub-folders \('cats', …\)"):
        zoo.load_dataset(put("a.png", "cats/1.png"))
