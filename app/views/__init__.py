"""HTML views that the tabs show: answers, channels, comparisons, scene plans."""
