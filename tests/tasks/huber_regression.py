"""A second regression loss, as a new task is written: one file, and an entry in TASKS."""

from torch.nn.functional import huber_loss

from dnahub.tasks.regression import Regression
from dnahub.tasks.task import Labels


class HuberRegression(Regression):
    """Outliers count by their distance, not by its square."""

    metrics = ("mae", "spearman", "pearson", "r2", "rmse", "loss")

    def loss(self, logits, labels, class_weights=None, label_smoothing=0.0):
        return huber_loss(logits.reshape(labels.shape), labels.to(logits.dtype), reduction="sum")

    def title(self, labels: Labels) -> str:
        return "fine-tuned to predict a number with outliers from a DNA sequence"


TASK = HuberRegression()
