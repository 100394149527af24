#pragma once
// The part of ESP-DL's interface that generated programs use, declared for a syntax check.
#include <cstdint>
#include <map>
#include <string>
#include <vector>
#include "esp_err.h"

void heap_caps_free(void *);

namespace fbs {
enum model_location_type_t { MODEL_LOCATION_IN_FLASH_RODATA, MODEL_LOCATION_IN_FLASH_PARTITION, MODEL_LOCATION_IN_SDCARD };
}

namespace dl {
enum memory_manager_t { MEMORY_MANAGER_GREEDY };
enum dtype_t { DATA_TYPE_FLOAT };
enum runtime_mode_t { RUNTIME_MODE_SINGLE_CORE };

struct TensorBase {
    TensorBase(std::vector<int> shape, const void *element, int exponent, dtype_t dtype);
    bool assign(TensorBase *tensor);
    int get_size();
    int get_exponent();
    std::vector<int> get_shape();
    template <typename T> T get_element(int index);
};

struct Model {
    Model(const char *source,
          fbs::model_location_type_t location,
          int max_internal_size = 0,
          memory_manager_t manager = MEMORY_MANAGER_GREEDY,
          const uint8_t *key = nullptr,
          bool param_copy = true);
    esp_err_t test();
    void profile(bool sort_module_by_latency = false);
    void run(runtime_mode_t mode = RUNTIME_MODE_SINGLE_CORE);
    std::map<std::string, TensorBase *> &get_inputs();
    std::map<std::string, TensorBase *> &get_outputs();
    TensorBase *get_output(const std::string &name = "");
};
} // namespace dl
