"""The detection study: where which digits are, among clutter. The losses compared are those of the boxes.

Targets are (N, M, 5): label and corners x1, y1, x2, y2 of up to M objects in pixels, label -1 where there is none.
Detections, which metrics and pictures see, are (N, K, 6): label, corners, score, the best first, label -1 at the end.
"""

from lossary.studies.detection.study import STUDY, detection_data

__all__ = ["STUDY", "detection_data"]
