"""What numbers mean in masks of buildings: as labels of networks, and as grey values of pictures.

Data sets turn values into labels as their configs say (`datasets.mask_values`). The label of pixels that are neither
trained on nor scored is that of all segmentation, `training.label_survey.IGNORED`.
"""

BACKGROUND, BUILDING = 0, 1  # labels
BUILDING_GRAY, IGNORED_GRAY = 255, 127  # values of the masks of tile sets, and of predictions drawn; 0 is all else
