"""Experiments: what a loss does to a model, on real data.

>>> from lossary import studies
>>> sorted(studies.STUDIES)
['classification', 'detection', 'regression', 'segmentation', 'sequence']
"""

from lossary.core.extras import needed

with needed("lossary.studies", "studies"):
    from lossary.studies.comparison import STUDIES, compare
    from lossary.studies.data import Data, Split
    from lossary.studies.detection import detection_data
    from lossary.studies.digits import Canvas, Strip, classification_data, segmentation_data, sequence_data
    from lossary.studies.errors import InputError
    from lossary.studies.metrics import ClassMetric, Metric
    from lossary.studies.outliers import Outliers, compare_outliers
    from lossary.studies.regression import regression_data
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
    "Outliers",
    "Run",
    "Section",
    "Split",
    "Strip",
    "Study",
    "classification_data",
    "compare",
    "compare_outliers",
    "detection_data",
    "regression_data",
    "segmentation_data",
    "sequence_data",
]
