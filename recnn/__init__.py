"""Reinforcement learning for recommendation: the names below are loaded when they are first used."""
__version__ = "0.2.0"

_MODULES = { # module -> names of the front door
    'data.log': 'read_log load_sample Log Rewards', 'data.movielens': 'read_movielens',
    'data.planted': 'planted_log', 'data.windows': 'Dataset Batch',
    'vectors': 'ItemVectors', 'items.merge': 'embed_items',
    'app.recommender': 'fit evaluate load Recommender', 'app.onnx': 'OnnxRecommender',
    'app.serve': 'make_app', 'app.tune': 'tune',
    'agents.model': 'Model', 'agents.agent': 'Agent', 'agents.contract': 'check_agent',
    'agents.ddpg': 'DDPG', 'agents.td3': 'TD3', 'agents.td3_bc': 'TD3BC', 'agents.bc': 'BehaviourCloning',
    'agents.iql': 'IQL', 'agents.td3_items': 'TD3Items', 'agents.top_k': 'TopKReinforce',
    'agents.reward_weighted': 'RewardWeighted', 'agents.cql': 'CQL', 'agents.bcq': 'BCQ', 'agents.crr': 'CRR',
    'agents.sa2c': 'SA2C', 'agents.decision_transformer': 'DecisionTransformer',
    'evaluation.queries': 'Queries', 'evaluation.ranking': 'rank_table', 'evaluation.judges': 'Judges'}
_HOME = {name: module for module,names in _MODULES.items() for name in names.split()}
_METHODS = { # modules that add methods
    'data.log': 'data.logfile', 'data.windows': 'data.part_windows', 'app.recommender': 'app.batch'}
__all__ = list(_HOME)


def __getattr__(name):
    "Import the module of a name when the name is first used."
    if name not in _HOME: raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module
    for more in _METHODS.get(_HOME[name], '').split(): import_module(f'{__name__}.{more}')
    value = globals()[name] = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    return value


def __dir__(): return sorted([*globals(), *_HOME])
