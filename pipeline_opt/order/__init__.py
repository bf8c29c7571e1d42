"""The order of stages: which orders can be built, which one is nearest, and which do harm."""

from pipeline_opt.order.harm import Harm, harms, rests_on_purity
from pipeline_opt.order.legality import check_order
from pipeline_opt.order.lists import apply_order, parse_order
from pipeline_opt.order.nearest import nearest_order

__all__ = ["Harm", "apply_order", "check_order", "harms", "nearest_order", "parse_order", "rests_on_purity"]
