"""A site's base model and documents in memory, as a plan wants them: for the service, `doctor` and `preview`."""

import logging
from collections.abc import Callable
from pathlib import Path

from clients import extracted, freezing, split_record
from clients.dataset import Corpus, Parts, Source, corpus_of, parts_of
from clients.home import DEMO, Home, Settings
from clients.ingest.pace import Progress, untold
from clients.journal import Journal
from clients.token_cache import TokenCache
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
    """The model, and the documents as the folders are now: to try a plan. Raises ModelMismatch before anything is
    loaded, and what model and data raise."""
    learner = _learner(home, plan)
    with extracted.opened(home) as texts:
        reading, earlier = extracted.read(home, texts).reading, split_record.earlier(home)
        parts = parts_of(reading, plan.evaluation, home.settings().folders[0], earlier)
        return learner, _corpus(home, plan, learner, parts, _cache(home))


def load_frozen(
    home: Home, plan: Plan, journal: Journal, tell: Callable[[Progress], None] = untold
) -> tuple[Trainer, Corpus, bytes]:
    """The model, the documents that the job trains on here, and SHA-256 of the manifest that names them. Raises as
    `load` and `freezing.frozen` do."""
    learner = _learner(home, plan)
    with extracted.opened(home) as texts:
        frozen = freezing.frozen(home, plan, journal, texts, tell)
        cache = _cache(home, tell)
        corpus = _corpus(home, plan, learner, frozen.parts, cache)
        cache.keep_only_used()
    for file in corpus.set_aside:
        _log.warning("%s is not used: %s", file.name, file)
    return learner, corpus, frozen.digest


def _learner(home: Home, plan: Plan) -> Trainer:
    settings = home.settings()
    require_model(settings, plan)
    learner = Trainer(model_folder(settings), settings.model_here(plan.model), plan.lora, plan.deadlines.training)
    learner.check_length(plan.train.sequence_length)
    return learner


def _cache(home: Home, tell: Callable[[Progress], None] = untold) -> TokenCache:
    tokenizer = base_model.tokenizer_digest(model_folder(home.settings()))
    return TokenCache(extracted.folder(home) / "tokens", tokenizer, tell)


def _corpus(home: Home, plan: Plan, learner: Trainer, parts: Parts, cache: TokenCache) -> Corpus:
    settings = home.settings()
    source = Source(settings.id, settings.folders[0])
    length = plan.train.sequence_length
    return corpus_of(source, parts, learner.tokenizer, length, plan.evaluation, cache.packed)
