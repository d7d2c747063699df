"""Destinations: one small adapter a vendor, each behind `activation.syncs.contract.Destination`."""
