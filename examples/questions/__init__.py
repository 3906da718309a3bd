"""Five questions about softmax and cross-entropy that people ask, answered by running them.

``python -m examples.questions`` prints all of them, ``python -m examples.questions iris_weights``
one; each is also a program of its own. What they print is Markdown.
"""

SUBJECTS = (
    "who_lowers_the_others",
    "iris_weights",
    "which_neuron",
    "probability_minus_target",
    "zero_for_other_classes",
)
