"""How a message gets to a receiver: where it may connect, one try, its answer."""

from pipeline.delivery.destination import Destination, DestinationError, Reach, check_url
from pipeline.delivery.post import Answer, NoAnswerError, Poster

__all__ = ["Answer", "Destination", "DestinationError", "NoAnswerError", "Poster", "Reach", "check_url"]
