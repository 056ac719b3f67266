"""Everyone at one table: the coordinator and all members in this process. The one place that knows both sides."""
