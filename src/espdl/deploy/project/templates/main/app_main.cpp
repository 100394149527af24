// Loads, tests, profiles and runs the model that espdl made for @target.
#include "dl_model_base.hpp"
#include "esp_log.h"
@includes
static const char *TAG = "@name";
@declarations
extern "C" void app_main(void)
{
@mount    // The plan that espdl computed for this file: @plan.
    dl::Model *model = new dl::Model(@source,
                                     @location,
                                     @max_internal_size, // bytes of internal RAM to fill first
                                     dl::MEMORY_MANAGER_GREEDY,
                                     nullptr, // key of an encrypted model
                                     @param_copy); // whether parameters are copied from flash to RAM
@test    model->profile();

@run
    delete model;
}
