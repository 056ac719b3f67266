"""A site's base model and documents in memory, as a plan wants them: for the service, `doctor` and `preview`."""

import logging
from pathlib import Path

from clients.dataset import Corpus, Source, read_corpus
from clients.home import DEMO, Home, Settings
from clients.trainer import Trainer
from federation import base_model
from federation.errors import ModelMismatch
from federation.plan import Plan

_log = logging.getLogger(__name__)

DEMO_BASE = Path(__file__).resolve().parents[1] / "aggregator" / "simulate" / "demo" / "base"
"""The demo's base model, by place: for trials without a model of one's own."""


def model_folder(settings: Settings) -> Path:
    """Where the base model is."""
    return DEMO_BASE if settings.model == DEMO else Path(settings.model)


def require_model(settings: Settings, plan: Plan) -> None:
    """Raises ModelMismatch or ModelFolderInvalid unless this site's base model is the plan's, to the byte."""
    folder = model_folder(settings)
    actual = base_model.digest(folder)
    if actual != plan.model.sha256:
        raise ModelMismatch(path=folder, expected=plan.model.sha256, actual=actual)


def load(home: Home, plan: Plan) -> tuple[Trainer, Corpus]:
    """The model and the documents. Raises ModelMismatch before anything is loaded, and what model and data raise."""
    settings = home.settings()
    require_model(settings, plan)
    site = home.policy().marks, home.personal()
    learner = Trainer(model_folder(settings), plan.model, plan.lora, plan.deadlines.training)
    learner.check_length(plan.train.sequence_length)
    source = Source(settings.id, Path(settings.data))
    corpus = read_corpus(source, learner.tokenizer, plan.train.sequence_length, plan.evaluation, *site)
    for file in corpus.set_aside:
        _log.warning("%s is not used: %s", file.name, file)
    return learner, corpus
