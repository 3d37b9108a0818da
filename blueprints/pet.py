"""A PET series in the units of its PET parent, decay corrected to the same time."""

from derived_series import pet_image_blueprint, pet_isotope_blueprint, pet_series_blueprint, volume_blueprint

blueprint = volume_blueprint + pet_series_blueprint + pet_isotope_blueprint + pet_image_blueprint
