"""One method, call(action, request), at three distances."""
