"""The catalogue that all tables of the operator state are declared in, so that they are created together."""

import sqlalchemy as sa

metadata = sa.MetaData()
