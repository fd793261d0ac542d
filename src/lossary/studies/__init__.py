"""Experiments: what a loss does to a model, on real data.

>>> from lossary import studies
>>> sorted(studies.STUDIES)
['classification', 'detection', 'segmentation']
"""

from lossary.studies.comparison import STUDIES, compare
from lossary.studies.data import Data, Split
from lossary.studies.detection import detection_data
from lossary.studies.digits import Canvas, classification_data, segmentation_data
from lossary.studies.errors import InputError
from lossary.studies.metrics import ClassMetric, Metric
from lossary.studies.results import Comparison, Run
from lossary.studies.study import Beside, Section, Study

__all__ = [
    "STUDIES",
    "Beside",
    "Canvas",
    "ClassMetric",
    "Comparison",
    "Data",
    "InputError",
    "Metric",
    "Run",
    "Section",
    "Split",
    "Study",
    "classification_data",
    "compare",
    "detection_data",
    "segmentation_data",
]
