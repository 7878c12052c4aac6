"""Why an account is named, or accounts are taken for a campaign: read from what is stored, for people and programs."""

from pipeline.explain.model import AccountReport, CampaignReport
from pipeline.explain.render import FORMATS, render
from pipeline.explain.subject import explain

__all__ = ["FORMATS", "AccountReport", "CampaignReport", "explain", "render"]
