"""The resources that a run needs of each device, and how long it is predicted to take."""
