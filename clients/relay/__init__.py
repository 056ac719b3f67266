"""Between Flower and the member's service: the node that connects outward, and the app that travels (app/)."""
