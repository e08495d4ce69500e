"""The model families of the factory as estimators, for work outside a build line.

They follow scikit-learn's conventions and work in its pipelines, searches and cross-validation without
importing it. Hyper-parameters have the names, defaults and ranges of a training config's ``model``. The same
rows in the same order give the same model, bit for bit, on any number of threads.

They can be copied and pickled, as parallel searches do: a model crosses as the bytes of its arrays, which are
checked when they are read. The pickle around them is code, though: hand a model on as a bundle.

>>> import numpy as np
>>> from model_factory.estimators import DecisionTree
>>> tree = DecisionTree(max_depth=2).fit([[0.0], [1.0], [2.0]], ["genuine", "genuine", "stolen"])
>>> tree.predict([[3.0]])
array(['stolen'], dtype='<U7')
"""

from model_factory.estimators.boosting import GradientBoosting
from model_factory.estimators.linear import LogisticRegression
from model_factory.estimators.trees import DecisionTree, RandomForest

__all__ = ["DecisionTree", "GradientBoosting", "LogisticRegression", "RandomForest"]
