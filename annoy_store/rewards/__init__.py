"""Scores answers with the checks of the pipeline: verifiable rewards for training and evaluation.

Start at `score`. `codeio_reward` has the signature of a reward function of TRL, `compute_score` that
of verl. All three judge as the stage `verify` does, with the same tasks and the same sandbox, and
need no store.

Modules: `scores` judges one answer, `items` many, `truth` reads the ground truth, `process_sandbox` owns the one
sandbox of this process, `trl` and `verl` adapt `score` to the trainers.
"""

from annoy_store.rewards.items import score_items
from annoy_store.rewards.scores import Score, score
from annoy_store.rewards.trl import codeio_reward
from annoy_store.rewards.verl import compute_score

__all__ = ["Score", "codeio_reward", "compute_score", "score", "score_items"]
