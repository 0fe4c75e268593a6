"""What importing the zoo costs: heavy libraries are loaded when they are needed."""

import subprocess
import sys

SCRIPT = """
import sys

def stage(name):
    print(name, *[heavy for heavy in ("torchvision", "sklearn", "plotly", "ipywidgets") if heavy in sys.modules])

from lrp_explorer import zoo
stage("import")
zoo.load_model("digits-mlp"), zoo.model_card("mnist-cnn"), zoo.datasets()
stage("own")
zoo.load_dataset("digits")
stage("digits")
zoo.models()
stage("models")
zoo.model_card("vgg16")
stage("card")
"""


def test_a_heavy_library_is_loaded_when_it_is_needed():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        *("import", "own", "digits sklearn", "models sklearn"),
        "card torchvision sklearn",
    ]
