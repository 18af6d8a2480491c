"""The turns of a client's requests: one after the other, and none while answers wait for their reader.

Rule: nothing here reads a head or writes an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.transport.answer import Repeatable
from livefeed.web.channel_state import MAX_AT_FIRST, MAX_AT_ONCE
from livefeed.web.head_checks import HeadChecks

if TYPE_CHECKING:
    from livefeed.web.request import Request


class Pipelining(HeadChecks):
    """The part of a channel that goes on after an answer, and pauses."""

    def requestDone(self, request: Request) -> None:
        """HTTPChannel API."""
        may_repeat = request.select is not None and not request.access_fields
        self._repeatable = Repeatable(request.label(), request.select) if may_repeat else None
        if request is not self.requests[0]:
            raise TypeError
        del self.requests[0]
        if self._dataBuffer and not self._waitingForTransport:
            # Reading may be paused, since there was much to wait for.
            self._networkProducer.resumeProducing()
        if self.persistent:
            self._handlingRequest = False
            if self._savedTimeOut:
                self.setTimeout(self._savedTimeOut)
            data, self._dataBuffer = b"".join(self._dataBuffer), []
            self.setLineMode(data)
        else:
            self.loseConnection()
        self._may_answer -= 1
        if self._may_answer <= 0 and self._buffer and not self.paused and not self._closing:
            self.paused = True
            self._networkProducer.pauseProducing()
            self.site.rest(self)
        self._watch_head()

    def pauseProducing(self) -> None:
        """IPushProducer API. The channel reads and answers nothing until the client has read the answers so far."""
        super().pauseProducing()
        self.paused = True
        # HTTPChannel reads on while it answers, and answers fill the transport: 20 clients that sent requests and read
        # nothing took 160 MB in 8 s, all of it requests that LineReceiver copied at each read.
        self._networkProducer.pauseProducing()
        self._set_timeout_for_now()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        self.paused = False
        super().resumeProducing()
        if self._handlingRequest and sum(map(len, self._dataBuffer)) <= self._optimisticEagerReadSize:
            # A request that waits is dropped when its client leaves, and only reading detects that.
            self._networkProducer.resumeProducing()
        self._set_timeout_for_now()
        if self._buffer and not self._closing and self._successor is None:
            # LineReceiver continues with the data in its buffer.
            self.dataReceived(b"")

    def go_on(self) -> None:
        """Continues with the pipelined requests; see :meth:`ChannelSite.rest`."""
        if not self._waitingForTransport and not self._closing and self in self.site.channels:
            self._at_once = MAX_AT_ONCE
            try:
                self.resumeProducing()
            finally:
                self._at_once = MAX_AT_FIRST
