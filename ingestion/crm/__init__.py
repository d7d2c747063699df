"""Pulls of CRM contacts: pages of a vendor's API become lines in the columns of the mapping `crm_contacts`."""
