"""Session purchase intent: the worked example of docs/add-a-model.md, on the UCI set of online shoppers."""

import ml as ml  # first, because its registry loads session_intent.model
