"""The arithmetic of a run: from its record to the numbers that are shown."""

from pipeline_opt.accounting.accounts import Account, PhaseAccount, account

__all__ = ["Account", "PhaseAccount", "account"]
